/*
 * A chain of certificates as a time stamp has it: the signer's first, a pinned root last, each signed by the next. No path
 * is searched for: a chain that is not laid out like this, or holds what is not known here, is Unknown.
 */
import { equal, need, unb64, Unknown } from './bytes.js';
import { bits, BIT_STRING, each, inside, INTEGER, integer, OCTET_STRING, OID, oid, SEQUENCE, truth } from './der.js';
import { timeLine } from './parts.js';
import { plainAlgorithm } from './cms.js';
import { sha256b64 } from './sha256.js';
import { flatEcdsa, readSpki, verifyEcdsa, verifyEd25519, verifyPkcs1 } from './spki.js';

const BOOLEAN = 0x01;
const CHAIN_MAX = 8;
const CONSTRAINTS = '2.5.29.19', KEY_USAGE = '2.5.29.15', PURPOSES = '2.5.29.37', SUBJECT_KEY = '2.5.29.14', AUTHORITY_KEY = '2.5.29.35';
const TIME_STAMPING = '1.3.6.1.5.5.7.3.8';
const SIGN = 0x80, COMMIT = 0x40, CERTIFY = 0x04; /* bits of the key usage's first byte */

/* Extensions that change what a chain may do, in ways that are not judged here: name constraints, proxies. */
const NOT_HERE = ['2.5.29.30', '1.3.6.1.5.5.7.1.14'];

/** By OID: what signs, and with which hash. */
export const SIGNATURES = {
	'1.2.840.113549.1.1.11': { kind: 'rsa', hash: 'SHA-256' }, '1.2.840.113549.1.1.12': { kind: 'rsa', hash: 'SHA-384' },
	'1.2.840.113549.1.1.13': { kind: 'rsa', hash: 'SHA-512' }, '1.2.840.10045.4.3.2': { kind: 'ec', hash: 'SHA-256' },
	'1.2.840.10045.4.3.3': { kind: 'ec', hash: 'SHA-384' }, '1.2.840.10045.4.3.4': { kind: 'ec', hash: 'SHA-512' },
	'1.3.101.112': { kind: 'ed25519', hash: null },
};

function known(truth_) {
	if (!truth_)
		throw new Unknown('unknown.stamp');
}

/** Does a signature verify under a key of at least 112 bits of strength? Unknown for what is not judged here. */
export async function signedBy(spki, { kind, hash }, data, signature) {
	const key = readSpki(spki);
	known(key.kind === kind && (kind !== 'rsa' || key.bits >= 2048) && (kind !== 'ec' || key.curve !== undefined));
	if (kind === 'rsa')
		return verifyPkcs1(spki, key, hash, data, signature);
	return kind === 'ec' ? verifyEcdsa(spki, key, hash, data, flatEcdsa(signature, key.curve.bytes)) : verifyEd25519(key, data, signature);
}

function readExtensions(der) {
	const list = der.maybe(0xa3);
	const found = new Map();
	for (const one of list === null ? [] : inside(list.inner, (outer) => each(outer.take(SEQUENCE).inner, (item) => item.take(SEQUENCE).inner)))
		inside(one, (item) => {
			const id = oid(item.take(OID).inner);
			const flag = item.maybe(BOOLEAN);
			known(!found.has(id) && (flag === null || truth(flag.inner)));
			found.set(id, { critical: flag !== null, bytes: item.take(OCTET_STRING).inner });
		});
	return found;
}

/** The parts of a certificate in DER that a chain is judged by. */
export function readCertificate(whole) {
	return inside(whole, (outer) => outer.inside(SEQUENCE, (certificate) => {
		const tbs = certificate.take(SEQUENCE);
		const at = certificate.at;
		const algorithm = plainAlgorithm(certificate);
		const said = certificate.bytes.subarray(at, certificate.at);
		const { unused, bytes: signature } = bits(certificate.take(BIT_STRING).inner);
		need(unused === 0, 'form.der');
		return inside(tbs.inner, (der) => {
			need(integer(der.inside(0xa0, (version) => version.take(INTEGER).inner)) === 2n, 'form.der');
			const serial = der.take(INTEGER).inner;
			need(equal(der.take(SEQUENCE).whole, said), 'form.der');
			const issuer = der.take(SEQUENCE).whole;
			const [from, to] = der.inside(SEQUENCE, (times) => [timeLine(times.any()).ms, timeLine(times.any()).ms]);
			const subject = der.take(SEQUENCE).whole;
			const spki = der.take(SEQUENCE).whole;
			return { whole, tbs: tbs.whole, algorithm, signature, serial, issuer, from, to, subject, spki, extensions: readExtensions(der) };
		});
	}));
}

/* ---- what a certificate may do -------------------------------------------------------------------------------------- */

const inner = (certificate, id, read) => {
	const extension = certificate.extensions.get(id);
	return extension === undefined ? undefined : inside(extension.bytes, read);
};

/* {ca, pathlen: undefined or a BigInt} */
function constraintsOf(certificate) {
	return inner(certificate, CONSTRAINTS, (outer) => outer.inside(SEQUENCE, (der) => {
		const ca = der.maybe(BOOLEAN);
		const pathlen = der.maybe(INTEGER);
		return { ca: ca !== null && truth(ca.inner), pathlen: pathlen === null ? undefined : integer(pathlen.inner) };
	})) ?? { ca: false };
}

/* All bits of the key usage; undefined: it says none. */
function usageOf(certificate) {
	return inner(certificate, KEY_USAGE, (der) => bits(der.take(BIT_STRING).inner).bytes);
}

function criticalKnown(certificate) {
	for (const [id, { critical }] of certificate.extensions)
		known(!NOT_HERE.includes(id) && (!critical || [CONSTRAINTS, KEY_USAGE, PURPOSES].includes(id)));
}

/** May its key sign time stamps, and nothing else (RFC 3161 2.3)? */
export function isForStamps(certificate) {
	const usage = usageOf(certificate);
	const purposes = inner(certificate, PURPOSES, (outer) => each(outer.take(SEQUENCE).inner, (der) => oid(der.take(OID).inner)));
	const plain = usage === undefined || (usage.length === 1 && (usage[0] & (SIGN | COMMIT)) !== 0 && (usage[0] & ~(SIGN | COMMIT)) === 0);
	return plain && certificate.extensions.get(PURPOSES)?.critical === true && purposes.length === 1 && purposes[0] === TIME_STAMPING;
}

/* The issuer that the certificate names beside its name: by the key's identifier, or by name and number. */
function namesIssuer(certificate, issuer) {
	return inner(certificate, AUTHORITY_KEY, (outer) => outer.inside(SEQUENCE, (der) => {
		const [key, names, serial] = [0x80, 0xa1, 0x82].map((tag) => der.maybe(tag));
		const own = inner(issuer, SUBJECT_KEY, (one) => one.take(OCTET_STRING).inner);
		const named = names === null || inside(names.inner, (list) => equal(list.take(0xa4).inner, issuer.issuer));
		return (key === null || own === undefined || equal(key.inner, own)) && named && (serial === null || equal(serial.inner, issuer.serial));
	})) ?? true;
}

/* `below`: how many certificates stand between the issuer and the signer. */
async function isIssuedBy(certificate, issuer, below) {
	const { ca, pathlen } = constraintsOf(issuer);
	const usage = usageOf(issuer);
	return equal(certificate.issuer, issuer.subject) && ca && (pathlen === undefined || pathlen >= BigInt(below)) &&
		(usage === undefined || (usage[0] & CERTIFY) !== 0) && namesIssuer(certificate, issuer) &&
		Object.hasOwn(SIGNATURES, certificate.algorithm) &&
		signedBy(issuer.spki, SIGNATURES[certificate.algorithm], certificate.tbs, certificate.signature);
}

/** Unknown unless each is issued by the next, all valid at the time (ms), and nothing in them is unknown here. */
export async function checkChain(chain, at) {
	for (const [n, certificate] of chain.entries()) {
		criticalKnown(certificate);
		known(certificate.from <= at && at < certificate.to);
		if (n + 1 < chain.length)
			known(await isIssuedBy(certificate, chain[n + 1], n));
	}
}

/* ---- the recorded chain --------------------------------------------------------------------------------------------- */

const PEM = /^-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{1,64}\n)+)-----END CERTIFICATE-----\n/;

/** Certificates in PEM, as `chain_sha256` names them; Unknown for another form of it. */
export function readChain(text) {
	const chain = [];
	for (let rest = text; rest !== ''; rest = rest.slice(chain.at(-1).length)) {
		const match = PEM.exec(rest);
		known(match !== null && chain.length < CHAIN_MAX);
		chain.push({ length: match[0].length, der: unb64(match[1].replace(/\n/g, '')) });
	}
	known(chain.length > 0);
	return chain.map((one) => readCertificate(one.der));
}

/** Which of them one of these roots (base64 of the SHA-256) is: its index, -1: none. */
export async function rootIn(chain, roots) {
	const hashes = await Promise.all(chain.map((one) => sha256b64(one.whole)));
	return hashes.findIndex((hash) => roots.includes(hash));
}
