/*
 * What is signed, in words (docs/statements.md 3), decoded strictly: certificates, CRLs and requests for certificates here,
 * what is about other contents in content_signed.js.
 * Anything else that could be a content, or a form that is out of the ordinary, is Unknown: it is never passed over.
 */
import { b64, Bad, concat, hex, need, Unknown, utf8 } from './bytes.js';
import { ocspResponse, signedAttributes, timeStamp } from './content_signed.js';
import { each, inside, INTEGER, integer, OID, oid, SEQUENCE, SET } from './der.js';
import { extensionLines } from './extension.js';
import { algorithmText, distinguishedName, serialText, timeLine } from './parts.js';
import { sha256, sha256b64, subtle } from './sha256.js';
import { readSpki } from './spki.js';

const LINES_MAX = 12288;
const VALUE_MAX = 960;
const REVOKED_SHOWN = 32;
const CONTENT_MAX = 1 << 20;

async function keyLines(spki, facts) {
	const key = readSpki(spki);
	facts.key = await sha256b64(spki);
	const names = { rsa: () => `RSA ${key.bits} exponent ${key.e}`, ec: () => `EC ${key.curve.name}`, ed25519: () => 'Ed25519' };
	need(Object.hasOwn(names, key.kind) && (key.kind !== 'ec' || key.curve !== undefined), 'form.key');
	if (key.kind === 'ec')
		await subtle().importKey('spki', spki, { name: 'ECDSA', namedCurve: key.curve.name }, false, ['verify']);
	return [`key-algorithm ${names[key.kind]()}`, `key-spki-sha256 ${facts.key}`];
}

function extensionsIn(der, tag) {
	const wrapped = der.maybe(tag);
	return wrapped === null ? [] : inside(wrapped.inner, (outer) => each(outer.take(SEQUENCE).inner, (list) => list.take(SEQUENCE).inner));
}

async function certificate(bytes, facts) {
	const parts = inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const version = der.inside(0xa0, (inner) => integer(inner.take(INTEGER).inner));
		need(version >= 0n && version <= 2n, 'form.der');
		const head = [`version ${version + 1n}`, `serial ${serialText(der.take(INTEGER).inner)}`,
			`signature-algorithm ${algorithmText(der.take(SEQUENCE).whole)}`];
		facts.issuer = distinguishedName(der.take(SEQUENCE).inner);
		const validity = der.inside(SEQUENCE, (times) => [timeLine(times.any()), timeLine(times.any())]);
		facts.subject = distinguishedName(der.take(SEQUENCE).inner);
		return { head, validity, spki: der.take(SEQUENCE).whole, extensions: extensionsIn(der, 0xa3) };
	}));
	const [before, after] = parts.validity;
	Object.assign(facts, { notBefore: before.ms, notAfter: after.ms });
	return [...parts.head, `issuer ${facts.issuer || 'none'}`, `not-before ${before.text}`, `not-after ${after.text}`,
		`subject ${facts.subject || 'none'}`, ...await keyLines(parts.spki, facts), ...await extensionLines(parts.extensions, facts)];
}

function readRevoked(list) {
	return list === null ? [] : each(list.inner, (der) => {
		const { inner, whole } = der.take(SEQUENCE);
		return inside(inner, (entry) => ({
			whole,
			line: `revoked ${serialText(entry.take(INTEGER).inner)} ${timeLine(entry.any()).text}`,
			extensions: entry.done ? [] : each(entry.take(SEQUENCE).inner, (one) => one.take(SEQUENCE).inner),
		}));
	});
}

async function revokedLines(entries) {
	const lines = [`revoked-entries ${entries.length}`];
	for (const { line, extensions } of entries.slice(0, REVOKED_SHOWN))
		lines.push(line, ...await extensionLines(extensions, {}));
	const rest = entries.slice(REVOKED_SHOWN);
	if (rest.length > 0)
		lines.push(`revoked-rest ${rest.length} more, sha256 ${b64(await sha256(concat(...rest.map((one) => one.whole))))}`);
	return lines;
}

async function crl(bytes, facts) {
	const parts = inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		const version = der.maybe(INTEGER);
		need(version === null || integer(version.inner) === 1n, 'form.der');
		const algorithm = algorithmText(der.take(SEQUENCE).whole);
		facts.issuer = distinguishedName(der.take(SEQUENCE).inner);
		const thisUpdate = timeLine(der.any());
		const next = [0x17, 0x18].includes(der.peek()) ? timeLine(der.any()) : null;
		facts.nextUpdate = next?.ms;
		const head = [`version ${version === null ? 1 : 2}`, `signature-algorithm ${algorithm}`, `issuer ${facts.issuer || 'none'}`,
			`this-update ${thisUpdate.text}`, `next-update ${next?.text ?? 'none'}`];
		return { head, revoked: readRevoked(der.maybe(SEQUENCE)), extensions: extensionsIn(der, 0xa0) };
	}));
	return [...parts.head, ...await extensionLines(parts.extensions, facts), ...await revokedLines(parts.revoked)];
}

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

function readAttribute(der) {
	return inside(der.take(SEQUENCE).inner, (one) => {
		const name = oid(one.take(OID).inner);
		const values = each(one.take(SET).inner, (value) => value.any());
		need(values.length === 1, 'form.der');
		return { name, value: values[0] };
	});
}

async function request(bytes, facts) {
	const parts = inside(bytes, (outer) => outer.inside(SEQUENCE, (der) => {
		need(integer(der.take(INTEGER).inner) === 0n, 'form.der');
		facts.subject = distinguishedName(der.take(SEQUENCE).inner);
		const spki = der.take(SEQUENCE).whole;
		const attributes = der.maybe(0xa0);
		const list = attributes === null ? [] : each(attributes.inner, readAttribute);
		need(list.length <= 1, 'form.der');
		return { spki, list };
	}));
	const lines = ['version 1', `subject ${facts.subject || 'none'}`, ...await keyLines(parts.spki, facts)];
	for (const { name, value } of parts.list)
		lines.push(...name === EXTENSION_REQUEST && value.tag === SEQUENCE
			? await extensionLines(each(value.inner, (one) => one.take(SEQUENCE).inner), facts)
			: [`attribute ${name} hex ${hex(value.whole)}`]);
	return lines;
}

/* Tried in this order: a time stamp stands before the attributes that it is signed by. */
const KINDS = [
	{ kind: 'tbs-certificate', input: 'x509-tbscertificate', first: SEQUENCE, decode: certificate },
	{ kind: 'tbs-crl', input: 'x509-tbscertlist', first: SEQUENCE, decode: crl },
	{ kind: 'csr', input: 'pkcs10-certificationrequestinfo', first: SEQUENCE, decode: request },
	{ kind: 'ocsp-response', input: 'ocsp-responsedata', first: SEQUENCE, decode: ocspResponse },
	{ kind: 'tst-info', input: 'rfc3161-tstinfo', first: SET, decode: timeStamp },
	{ kind: 'cms-signed-attributes', input: 'cms-signedattributes', first: SET, decode: signedAttributes },
];

/* One element and nothing else? What is not has no words anywhere. */
function isOneElement(data) {
	try {
		inside(data, (der) => der.any());
		return true;
	} catch {
		return false;
	}
}

/* What one decoder makes of it; null: it is something else to it. */
async function decodeAs({ kind, input, decode }, data, econtent) {
	const facts = { issuer: '', subject: '', responder: '', contentType: '', tstPolicy: '' };
	try {
		const lines = await decode(data, facts, econtent);
		need(lines.every((line) => utf8(line).length - line.indexOf(' ') - 1 <= VALUE_MAX) &&
			utf8(lines.map((line) => `input ${line}\n`).join('')).length <= LINES_MAX, 'form.der');
		return { kind, input, lines, facts };
	} catch (error) {
		if (!(error instanceof Bad) && error.name !== 'DataError')
			throw error;
		return null;
	}
}

/**
 * {input, kind, lines (without `input`), facts} of data; null: it decodes to nothing that has words. `econtent`: what signed
 * attributes are over, where it is known. Facts: issuer, subject, responder, contentType, tstPolicy (texts), notBefore, notAfter,
 * nextUpdate, genTime (ms), ca, pathlen, key (base64 of the SHA-256 of its SPKI), hasContent. Throws Unknown.
 */
export async function decodeContent(data, econtent) {
	if (data.length < 2 || !KINDS.some((one) => one.first === data[0]) || !isOneElement(data))
		return null;
	if (data.length > CONTENT_MAX || econtent?.length > CONTENT_MAX)
		throw new Unknown('unknown.content');
	for (const one of KINDS.filter(({ first }) => first === data[0])) {
		const content = await decodeAs(one, data, econtent);
		/* what might be a time stamp, in a form that is not known here, is not said to be attributes alone */
		if (content !== null && !(one.decode === signedAttributes && econtent !== undefined && content.facts.contentType === 'tst-info'))
			return content;
	}
	throw new Unknown('unknown.content');
}
