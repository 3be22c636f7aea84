/* Who signed a text: the signature lines of a note under the keys of a policy (docs/statements.md 8). */
import { concat, equal, unb64, unutf8, utf8, b64url } from '../verify/bytes.js';
import { sha256 } from '../verify/sha256.js';
import { linesOf } from '../policy.js';
import { must } from './bundle.js';

const ecdsa = (curve, hash) => ({ importAs: { name: 'ECDSA', namedCurve: curve }, verifyAs: { name: 'ECDSA', hash } });
const kinds = {
	'kanmon/ecdsa-p256-sha256/v1': ecdsa('P-256', 'SHA-256'),
	'kanmon/ecdsa-p384-sha384/v1': ecdsa('P-384', 'SHA-384'),
	'kanmon/rsa-pss-sha256/v1': { importAs: { name: 'RSA-PSS', hash: 'SHA-256' }, verifyAs: { name: 'RSA-PSS', saltLength: 32 } },
	'kanmon/rsa-pkcs1-sha256/v1': { importAs: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, verifyAs: { name: 'RSASSA-PKCS1-v1_5' } },
	'kanmon/webauthn-es256/v1': { ...ecdsa('P-256', 'SHA-256'), webauthn: true },
	'kanmon/webauthn-eddsa/v1': { importAs: 'Ed25519', verifyAs: 'Ed25519', webauthn: true },
};

/* {name, id, kind, key: what WebCrypto imports, form} of a vkey. */
function readVkey(vkey) {
	const [name, id, ...rest] = vkey.split('+');
	const bytes = unb64(rest.join('+'));
	const idBytes = Uint8Array.from(id.match(/../g), (two) => parseInt(two, 16));

	if (bytes[0] === 0x01)
		return { name, id: idBytes, kind: { importAs: 'Ed25519', verifyAs: 'Ed25519' }, form: 'raw', key: bytes.subarray(1) };
	const end = bytes.indexOf(0);
	must(bytes[0] === 0xff && end > 0, 'proof.form');
	return { name, id: idBytes, kind: kinds[unutf8(bytes.subarray(1, end))], form: 'spki', key: bytes.subarray(end + 1) };
}

/* ECDSA in DER to r || s. */
export function rawEcdsa(der, bytesEach) {
	const parts = [];

	for (let at = 2, i = 0; i < 2; i++) {
		const length = der[at + 1], value = der.subarray(at + 2, at + 2 + length);
		const trimmed = value[0] === 0 ? value.subarray(1) : value;
		must(der[at] === 2 && value.length === length && trimmed.length <= bytesEach, 'proof.form');
		parts.push(new Uint8Array(bytesEach - trimmed.length), trimmed);
		at += 2 + length;
	}
	return concat(...parts);
}

function threeParts(blob) {
	const parts = [];
	let at = 0;

	for (let i = 0; i < 3; i++) {
		const length = blob[at] * 256 + blob[at + 1];
		must(at + 2 + length <= blob.length, 'proof.form');
		parts.push(blob.subarray(at + 2, at + 2 + length));
		at += 2 + length;
	}
	must(at === blob.length, 'proof.form');
	return parts;
}

/* What a security key signed is good for a place of the policy: {independent}, or null. */
async function placeOf(policy, authenticator, client, text) {
	const challenge = b64url(await sha256(`kanmon/webauthn/v1\n${text}`));
	const flags = authenticator[32];

	/* UP and UV; no BE, BS, AT; what follows only with ED. */
	if (authenticator.length < 37 || (flags & 0x05) !== 0x05 || (flags & 0x58) !== 0 || ((flags & 0x80) !== 0) !== (authenticator.length > 37))
		return null;
	for (const line of linesOf(policy, 'webauthn')) {
		const origin = line[line.indexOf('origin') + 1], id = line[line.indexOf('rp-id') + 1];
		const begins = `{"type":"webauthn.get","challenge":"${challenge}","origin":"${origin}","crossOrigin":false`;
		const rest = client.startsWith(begins) ? client.slice(begins.length) : '';
		if (equal(authenticator.subarray(0, 32), await sha256(id)) && (rest === '}' || (/^,.*\}$/s.test(rest) && !rest.includes('topOrigin'))))
			return { independent: line.at(-1) === 'independent' };
	}
	return null;
}

async function verifyOne(vkey, blob, text, policy) {
	const imported = await crypto.subtle.importKey(vkey.form, vkey.key, vkey.kind.importAs, false, ['verify']);

	if (vkey.kind.webauthn !== true)
		return await crypto.subtle.verify(vkey.kind.verifyAs, imported, blob, utf8(text)) ? { independent: true } : null;
	const [authenticator, client, signature] = threeParts(blob);
	const place = await placeOf(policy, authenticator, unutf8(client), text);
	const raw = vkey.kind.importAs === 'Ed25519' ? signature : rawEcdsa(signature, 32);
	const good = await crypto.subtle.verify(vkey.kind.verifyAs, imported, raw, concat(authenticator, await sha256(client)));
	return good ? place : null;
}

/* {text, signers: [{name, person, independent}]}: known lines all verify, or it throws; unknown ones say nothing. */
export async function signersOf(note, policy) {
	const end = note.lastIndexOf('\n\n') + 1;
	const text = note.slice(0, end);
	const keys = [...linesOf(policy, 'custodian'), ...linesOf(policy, 'auditor')].map((words) =>
		({ ...readVkey(words[3]), who: words[1], person: words[2] }));
	const signers = [];

	must(end > 0, 'proof.form');
	for (const line of note.slice(end + 1).split('\n').filter((one) => one !== '')) {
		const [, name, b64] = /^— (\S+) (\S+)$/.exec(line) ?? [];
		must(name !== undefined, 'proof.form');
		const blob = unb64(b64);
		const vkey = keys.find((key) => key.name === name && equal(key.id, blob.subarray(0, 4)));
		if (vkey === undefined)
			continue;
		const good = vkey.kind === undefined ? null : await verifyOne(vkey, blob.subarray(4), text, policy);
		must(good !== null, 'proof.signature', name);
		signers.push({ name: vkey.who, person: vkey.person, independent: good.independent });
	}
	return { text, signers };
}
