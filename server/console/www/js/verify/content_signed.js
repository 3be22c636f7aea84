/* Contents that are about other contents, in words (docs/statements.md 3): OCSP responses, attributes of CMS, time stamps. */
import { equal, hex, need } from './bytes.js';
import { readAttributes, valueOf } from './cms.js';
import { each, inside, INTEGER, integer, OCTET_STRING, OID, oid, SEQUENCE, SET } from './der.js';
import { extensionLines, generalName, reasonText } from './extension.js';
import { algorithmText, distinguishedName, serialText, timeLine } from './parts.js';
import { digest, sha256b64 } from './sha256.js';
import { readTst } from './tst.js';

/* ---- OCSP (RFC 6960 ResponseData) ------------------------------------------------------------------------------------- */

const extensionsOf = (element) => (element === null ? []
	: inside(element.inner, (outer) => each(outer.take(SEQUENCE).inner, (one) => one.take(SEQUENCE).inner)));

/* good [0], revoked [1], unknown [2] */
function statusText({ tag, inner }) {
	need(tag === 0xa1 || inner.length === 0, 'form.der');
	if (tag !== 0xa1) {
		need(tag === 0x80 || tag === 0x82, 'form.der');
		return tag === 0x80 ? 'good' : 'unknown';
	}
	return inside(inner, (der) => {
		const { text } = timeLine(der.any());
		const why = der.maybe(0xa0);
		return `revoked ${text}${why === null ? '' : ` ${inside(why.inner, (one) => reasonText(one.take(0x0a).inner))}`}`;
	});
}

function readSingle(der) {
	return der.inside(SEQUENCE, (single) => {
		const id = single.inside(SEQUENCE, (one) => ({ hash: algorithmText(one.take(SEQUENCE).whole), name: hex(one.take(OCTET_STRING).inner),
			key: hex(one.take(OCTET_STRING).inner), serial: serialText(one.take(INTEGER).inner) }));
		const status = statusText(single.any());
		const updated = timeLine(single.take(0x18));
		const next = single.maybe(0xa0);
		const until = next === null ? null : inside(next.inner, (one) => timeLine(one.take(0x18)));
		return { until: until?.ms, extensions: extensionsOf(single.maybe(0xa1)), lines: [`response ${id.serial} ${status}`,
			`response-issuer ${id.hash} name ${id.name} key ${id.key}`, `this-update ${updated.text}`, `next-update ${until?.text ?? 'none'}`] };
	});
}

function readResponder({ tag, inner }) {
	if (tag === 0xa1)
		return inside(inner, (der) => distinguishedName(der.take(SEQUENCE).inner));
	need(tag === 0xa2, 'form.der');
	return inside(inner, (der) => `key:${hex(der.take(OCTET_STRING).inner)}`);
}

export async function ocspResponse(bytes, facts) {
	const { version, made, extensions, singles } = inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const said = der.maybe(0xa0);
		const number = said === null ? 0n : inside(said.inner, (one) => integer(one.take(INTEGER).inner));
		need(number >= 0n && number < 2n ** 31n, 'form.der');
		facts.responder = readResponder(der.any());
		const at = timeLine(der.take(0x18));
		const list = each(der.take(SEQUENCE).inner, readSingle);
		return { version: number + 1n, made: at, singles: list, extensions: extensionsOf(der.maybe(0xa1)) };
	}));
	/* the latest next update is what a bound is about, and one without any is later than all */
	facts.nextUpdate = singles.length > 0 && singles.every((one) => one.until !== undefined) ? Math.max(...singles.map((one) => one.until)) : undefined;
	const lines = [`version ${version}`, `responder ${facts.responder || 'none'}`, `produced-at ${made.text}`, ...await extensionLines(extensions, facts),
		`responses ${singles.length}`];
	for (const single of singles)
		lines.push(...single.lines, ...await extensionLines(single.extensions, {}));
	return lines;
}

/* ---- signed attributes of CMS (RFC 5652 5.3) ------------------------------------------------------------------------- */

const HEX_SHOWN = 384;
const CONTENT_TYPE = '1.2.840.113549.1.9.3', MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const TYPES = { '1.2.840.113549.1.7.1': 'data', '1.2.840.113549.1.7.2': 'signed-data', '1.2.840.113549.1.9.16.1.4': 'tst-info',
	'1.3.6.1.4.1.311.2.1.4': 'authenticode', '2.23.136.1.1.1': 'lds-security-object' };

async function plainAttribute({ id, whole, values }) {
	const all = values.map((one) => hex(one.whole)).join('');
	need(values.length > 0, 'form.der');
	return [`attribute ${id} ${all.length <= 2 * HEX_SHOWN ? `hex ${all}` : `${whole.length} bytes, sha256 ${await sha256b64(whole)}`}`];
}

function issuerSerial(der) {
	return der.inside(SEQUENCE, (one) => {
		const names = each(one.take(SEQUENCE).inner, generalName).map((name) => ` issuer=${name}`);
		return `${names.join('')} serial=${serialText(one.take(INTEGER).inner)}`;
	});
}

/* One ESSCertID; only the second version names its hash. */
function certificateId(hash, named) {
	return (der) => der.inside(SEQUENCE, (one) => {
		const algorithm = named && one.peek() === SEQUENCE ? algorithmText(one.any().whole) : hash;
		return `signing-certificate ${algorithm} ${hex(one.take(OCTET_STRING).inner)}${one.done ? '' : issuerSerial(one)}`;
	});
}

const oneOf = (attribute, ...tags) => attribute.values.length === 1 && tags.includes(attribute.values[0].tag);

function signingCertificate(hash, named) {
	return (attribute) => {
		if (!oneOf(attribute, SEQUENCE))
			return null;
		const { ids, policies } = inside(attribute.values[0].inner, (der) => ({ ids: der.take(SEQUENCE).inner, policies: der.maybe(SEQUENCE) }));
		const lines = each(ids, certificateId(hash, named));
		return lines.length === 0 || policies !== null ? null : lines;
	};
}

/* Those that have words; null: it is shown as any other is. */
const WORDS = {
	[CONTENT_TYPE]: (attribute, facts) => {
		const name = oid(attribute.values[0].inner);
		facts.contentType = Object.hasOwn(TYPES, name) ? TYPES[name] : name;
		return [`content-type ${facts.contentType}`];
	},
	[MESSAGE_DIGEST]: (attribute) => [`message-digest ${hex(attribute.values[0].inner) || 'none'}`],
	'1.2.840.113549.1.9.5': (attribute) => (oneOf(attribute, 0x17, 0x18) ? [`signing-time ${timeLine(attribute.values[0]).text}`] : null),
	'1.2.840.113549.1.9.16.2.12': signingCertificate('sha1', false),
	'1.2.840.113549.1.9.16.2.47': signingCertificate('sha256', true),
};

/* The attributes name no hash: one of those with the digest's length gives it. Of hashes that WebCrypto lacks nothing is known. */
async function isOver(over, content) {
	const name = { 20: 'SHA-1', 32: 'SHA-256', 48: 'SHA-384', 64: 'SHA-512' }[over.length];
	return name !== undefined && equal(over, await digest(name, content));
}

export async function signedAttributes(bytes, facts, econtent) {
	const list = inside(bytes, (outer) => readAttributes(outer.take(SET).inner));
	const over = valueOf(list, MESSAGE_DIGEST, OCTET_STRING);
	need(valueOf(list, CONTENT_TYPE, OID) !== undefined && over !== undefined, 'form.der');
	need(econtent === undefined || await isOver(over.inner, econtent), 'form.der');
	const lines = [];
	for (const attribute of list)
		lines.push(...(Object.hasOwn(WORDS, attribute.id) ? WORDS[attribute.id](attribute, facts) : null) ?? await plainAttribute(attribute));
	facts.hasContent = econtent !== undefined;
	return econtent === undefined ? lines : [...lines, `econtent-len ${econtent.length}`, `econtent-sha256 ${await sha256b64(econtent)}`];
}

/* ---- time stamps (RFC 3161 TSTInfo), by the attributes that are signed ----------------------------------------------- */

export async function timeStamp(bytes, facts, econtent) {
	const lines = await signedAttributes(bytes, facts, econtent);
	need(econtent !== undefined && facts.contentType === 'tst-info', 'form.der');
	const tst = readTst(econtent);
	need(tst.version < 2n ** 31n, 'form.der');
	Object.assign(facts, { tstPolicy: tst.policy, genTime: tst.time.ms });
	return [...lines, `tst-version ${tst.version}`, `tst-policy ${tst.policy}`, `imprint ${algorithmText(tst.hash)} ${hex(tst.imprint)}`,
		`tst-serial ${serialText(tst.serial)}`, `gen-time ${tst.time.text}`, `accuracy ${tst.accuracy.join(' ') || 'none'}`,
		`ordering ${tst.ordering}`, `tst-nonce ${tst.nonce === null ? 'none' : serialText(tst.nonce)}`,
		`tsa ${tst.tsa === null ? 'none' : inside(tst.tsa, generalName)}`, ...await extensionLines(tst.extensions, {})];
}
