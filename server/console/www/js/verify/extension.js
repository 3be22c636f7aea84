/* Extensions in words (docs/statements.md 3). One that has words, in a form that is not plain DER, is Unknown. */
import { hex, need } from './bytes.js';
import { BIT_STRING, bits, each, inside, INTEGER, integer, OCTET_STRING, OID, oid, SEQUENCE, truth } from './der.js';
import { ascii, distinguishedName, serialText } from './parts.js';
import { sha256b64 } from './sha256.js';
import { escaped } from './value.js';

const HEX_SHOWN = 384;
const BOOLEAN = 0x01;
const ENUMERATED = 0x0a;

function ipText(bytes) {
	need(bytes.length === 4 || bytes.length === 8, 'form.der');
	return [bytes.subarray(0, 4), bytes.subarray(4)].filter((part) => part.length > 0).map((part) => part.join('.')).join('/');
}

const GENERAL = {
	0x81: (inner) => `email:${escaped(ascii(inner))}`,
	0x82: (inner) => `DNS:${escaped(ascii(inner))}`,
	0x86: (inner) => `URI:${escaped(ascii(inner))}`,
	0x87: (inner) => `IP:${ipText(inner)}`,
	0x88: (inner) => `RID:${oid(inner)}`,
	0xa4: (inner) => `name:${inside(inner, (der) => distinguishedName(der.take(SEQUENCE).inner))}`,
};

export function generalName(der) {
	const { tag, inner } = der.any();
	need(Object.hasOwn(GENERAL, tag), 'form.der');
	return GENERAL[tag](inner);
}

const list = (read) => (bytes) => inside(bytes, (der) => each(der.take(SEQUENCE).inner, read));
const one = (tag, read) => (bytes) => inside(bytes, (der) => [read(der.take(tag).inner)]);

/* A distribution point's name, in full. */
function pointName(der) {
	const point = der.maybe(0xa0);
	return point === null ? [] : inside(point.inner, (choice) => each(choice.take(0xa0).inner, generalName));
}

function basicConstraints(bytes, facts) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const ca = der.maybe(BOOLEAN);
		need(ca === null || truth(ca.inner), 'form.der');
		const pathlen = der.maybe(INTEGER);
		const length = pathlen === null ? undefined : integer(pathlen.inner);
		need(length === undefined || (length >= 0n && length < 2n ** 31n), 'form.der');
		Object.assign(facts, { ca: ca !== null, pathlen: length === undefined ? undefined : Number(length) });
		return [`ca=${ca !== null}${length === undefined ? '' : ` pathlen=${length}`}`];
	}));
}

const USAGES = ['digitalSignature', 'nonRepudiation', 'keyEncipherment', 'dataEncipherment', 'keyAgreement', 'keyCertSign', 'cRLSign',
	'encipherOnly', 'decipherOnly'];

const keyUsage = one(BIT_STRING, (content) => {
	const { bytes } = bits(content);
	const set = [...bytes].flatMap((byte, at) => Array.from({ length: 8 }, (_, n) => ((byte >> (7 - n)) & 1 ? at * 8 + n : -1)));
	return set.filter((bit) => bit >= 0).map((bit) => USAGES[bit] ?? `bit${bit}`).join(' ');
});

const PURPOSES = { '2.5.29.37.0': 'any', '1.3.6.1.5.5.7.3.1': 'serverAuth', '1.3.6.1.5.5.7.3.2': 'clientAuth', '1.3.6.1.5.5.7.3.3': 'codeSigning',
	'1.3.6.1.5.5.7.3.4': 'emailProtection', '1.3.6.1.5.5.7.3.8': 'timeStamping', '1.3.6.1.5.5.7.3.9': 'OCSPSigning' };

const purposeOf = (der) => {
	const name = oid(der.take(OID).inner);
	return PURPOSES[name] ?? name;
};

function authorityKey(bytes) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const words = [];
		const keyId = der.maybe(0x80);
		if (keyId !== null)
			words.push(`keyid=${hex(keyId.inner)}`);
		const issuer = der.maybe(0xa1);
		if (issuer !== null)
			words.push(...each(issuer.inner, generalName).map((name) => `issuer=${name}`));
		const serial = der.maybe(0x82);
		if (serial !== null)
			words.push(`serial=${serialText(serial.inner)}`);
		return [words.join(' ')];
	}));
}

function policyText(der) {
	return der.inside(SEQUENCE, (policy) => {
		const words = [oid(policy.take(OID).inner)];
		for (const { inner, whole } of policy.done ? [] : each(policy.take(SEQUENCE).inner, (qualifier) => qualifier.take(SEQUENCE)))
			words.push(inside(inner, (qualifier) => (oid(qualifier.take(OID).inner) === '1.3.6.1.5.5.7.2.1'
				? `CPS:${escaped(ascii(qualifier.take(0x16).inner))}` : `qualifier hex ${qualifier.any() && hex(whole)}`)));
		return words.join(' ');
	});
}

function pointText(der) {
	return der.inside(SEQUENCE, (point) => {
		const names = pointName(point);
		const issuer = point.maybe(0xa2);
		return [...names, ...issuer === null ? [] : each(issuer.inner, generalName).map((name) => `issuer=${name}`)].join(' ');
	});
}

const FLAGS = { 0x81: 'onlyUserCerts', 0x82: 'onlyCACerts', 0x84: 'indirectCRL', 0x85: 'onlyAttributeCerts' };

function issuingPoint(bytes) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const words = pointName(der);
		for (const [tag, word] of Object.entries(FLAGS)) {
			const flag = der.maybe(Number(tag));
			need(flag === null || truth(flag.inner), 'form.der');
			words.push(...flag === null ? [] : [word]);
		}
		return [words.join(' ')];
	}));
}

const ACCESS = { '1.3.6.1.5.5.7.48.1': 'OCSP', '1.3.6.1.5.5.7.48.2': 'caIssuers' };

const accessText = (der) => der.inside(SEQUENCE, (access) => {
	const method = oid(access.take(OID).inner);
	return `${ACCESS[method] ?? method} ${generalName(access)}`;
});

function nameConstraints(bytes) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => [[0xa0, 'permitted'], [0xa1, 'excluded']].flatMap(([tag, word]) => {
		const trees = der.maybe(tag);
		return trees === null ? [] : each(trees.inner, (tree) => `${word} ${tree.inside(SEQUENCE, generalName)}`);
	})));
}

function policyConstraints(bytes) {
	return inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => [[[0x80, 'requireExplicitPolicy'], [0x81, 'inhibitPolicyMapping']]
		.flatMap(([tag, word]) => {
			const skip = der.maybe(tag);
			return skip === null ? [] : [`${word}=${serialText(skip.inner)}`];
		}).join(' ')]));
}

const decimal = one(INTEGER, (content) => {
	const value = integer(content);
	need(value.toString(16).length <= 40, 'form.der');
	return String(value);
});

const REASONS = ['unspecified', 'keyCompromise', 'cACompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', 'certificateHold',
	'7', 'removeFromCRL', 'privilegeWithdrawn', 'aACompromise'];

/** Why something was revoked, of the content of an ENUMERATED. */
export function reasonText(content) {
	const value = integer(content);
	need(value >= 0n && value < 256n, 'form.der');
	return REASONS[Number(value)] ?? String(value);
}

/* Name and words of those that have them: a list of lines. */
const WORDS = {
	'2.5.29.19': ['basicConstraints', basicConstraints],
	'2.5.29.15': ['keyUsage', keyUsage],
	'2.5.29.37': ['extKeyUsage', (bytes) => [list(purposeOf)(bytes).join(' ')]],
	'2.5.29.14': ['subjectKeyIdentifier', one(OCTET_STRING, hex)],
	'2.5.29.35': ['authorityKeyIdentifier', authorityKey],
	'2.5.29.17': ['subjectAltName', list(generalName)],
	'2.5.29.18': ['issuerAltName', list(generalName)],
	'2.5.29.32': ['certificatePolicies', list(policyText)],
	'2.5.29.36': ['policyConstraints', policyConstraints],
	'2.5.29.54': ['inhibitAnyPolicy', one(INTEGER, serialText)],
	'2.5.29.30': ['nameConstraints', nameConstraints],
	'2.5.29.31': ['cRLDistributionPoints', list(pointText)],
	'2.5.29.46': ['freshestCRL', list(pointText)],
	'1.3.6.1.5.5.7.1.1': ['authorityInfoAccess', list(accessText)],
	'1.3.6.1.5.5.7.1.11': ['subjectInfoAccess', list(accessText)],
	'2.5.29.20': ['cRLNumber', decimal],
	'2.5.29.27': ['deltaCRLIndicator', decimal],
	'2.5.29.28': ['issuingDistributionPoint', issuingPoint],
	'2.5.29.21': ['reasonCode', one(ENUMERATED, reasonText)],
	'2.5.29.29': ['certificateIssuer', list(generalName)],
};

async function shown(bytes) {
	return bytes.length <= HEX_SHOWN ? `hex ${hex(bytes)}` : `${bytes.length} bytes, sha256 ${await sha256b64(bytes)}`;
}

/** Lines of extensions, each the content of its SEQUENCE, in their order; facts of basicConstraints go to `facts`. */
export async function extensionLines(extensions, facts) {
	const lines = [];
	const seen = new Set();
	for (const content of extensions) {
		const { id, critical, bytes } = inside(content, (der) => {
			const name = oid(der.take(OID).inner);
			const flag = der.maybe(BOOLEAN);
			need(flag === null || truth(flag.inner), 'form.der');
			return { id: name, critical: flag === null ? '' : ' critical', bytes: der.take(OCTET_STRING).inner };
		});
		need(!seen.has(id), 'form.der');
		seen.add(id);
		if (!Object.hasOwn(WORDS, id)) {
			lines.push(`extension ${id}${critical} ${await shown(bytes)}`);
			continue;
		}
		const [name, say] = WORDS[id];
		const said = say(bytes, facts);
		need(said.length > 0, 'form.der');
		lines.push(...said.map((words) => `extension ${name}${critical}${words === '' ? '' : ` ${words}`}`));
	}
	return lines;
}
