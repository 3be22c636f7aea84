/*
 * Notes that several people sign one after the other (docs/ledger.md 5, docs/statements.md 8): a security key's signature
 * line, made here, for a key that a `custodian` or `auditor` line of a policy names.
 */
import { b64, fromB64, sha256, utf8 } from './bytes.js';
import { linesOf } from './policy.js';

const fromB64url = (text) => fromB64(text.replaceAll('-', '+').replaceAll('_', '/'));
const algorithms = {
	'kanmon/webauthn-es256/v1': { importAs: { name: 'ECDSA', namedCurve: 'P-256' }, verifyAs: { name: 'ECDSA', hash: 'SHA-256' } },
	'kanmon/webauthn-eddsa/v1': { importAs: { name: 'Ed25519' }, verifyAs: { name: 'Ed25519' } },
};

function join(...parts) {
	const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;

	for (const part of parts) {
		bytes.set(part, at);
		at += part.length;
	}
	return bytes;
}

/* name+hex(id)+b64(T || key), T being 0xff, a text, 0x00: {name, id, algorithm, spki}, or null for other kinds. */
function securityKey(vkey) {
	const [name, id, rest] = [vkey.split('+')[0], vkey.split('+')[1], vkey.split('+').slice(2).join('+')];
	const bytes = fromB64(rest ?? '');
	const end = bytes.indexOf(0);

	if (bytes[0] !== 0xff || end < 0)
		return null;
	const algorithm = algorithms[new TextDecoder().decode(bytes.subarray(1, end))];
	return algorithm === undefined ? null : { name, id: Uint8Array.from(id.match(/../g), (two) => parseInt(two, 16)), algorithm, spki: bytes.subarray(end + 1) };
}

/* ECDSA in DER, as authenticators give it, to r || s, as WebCrypto wants it. */
function rawSignature(der) {
	const parts = [];
	let at = 2;

	for (let i = 0; i < 2; i++) {
		const length = der[at + 1];
		const number = der.subarray(at + 2, at + 2 + length);
		const trimmed = number.length > 32 ? number.subarray(number.length - 32) : number;
		parts.push(join(new Uint8Array(32 - trimmed.length), trimmed));
		at += 2 + length;
	}
	return join(...parts);
}

async function verifies(key, parts) {
	const imported = await crypto.subtle.importKey('spki', key.spki, key.algorithm.importAs, false, ['verify']);
	const signed = join(parts.authenticatorData, await sha256(parts.clientDataJSON));
	const signature = key.algorithm.importAs.name === 'ECDSA' ? rawSignature(parts.signature) : parts.signature;

	return crypto.subtle.verify(key.algorithm.verifyAs, imported, signature, signed);
}

const counted = (bytes) => join(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);

/* The line of this assertion, by the key of these policies that made it; null: it is none of theirs. {name, line} */
export async function signatureLine(assertion, policies) {
	const parts = Object.fromEntries(['authenticatorData', 'clientDataJSON', 'signature'].map((name) => [name, fromB64url(assertion[name])]));
	const keys = policies.flatMap((policy) => [...linesOf(policy, 'custodian'), ...linesOf(policy, 'auditor')])
		.map((words) => securityKey(words[3])).filter((key) => key !== null);

	for (const key of keys)
		if (await verifies(key, parts)) {
			const blob = join(key.id, counted(parts.authenticatorData), counted(parts.clientDataJSON), counted(parts.signature));
			return { name: key.name, line: `— ${key.name} ${b64(blob)}\n` };
		}
	return null;
}

/* Text and signature lines; a text alone is a note without any. */
export function splitNote(note) {
	const at = note.lastIndexOf('\n\n');
	const lines = at < 0 ? [] : note.slice(at + 2).split('\n').filter((line) => line !== '');

	if (at < 0 || !lines.every((line) => line.startsWith('— ')))
		return { text: note, lines: [] };
	return { text: note.slice(0, at + 1), lines: lines.map((line) => `${line}\n`) };
}

export const joinNote = ({ text, lines }) => (lines.length === 0 ? text : `${text}\n${lines.join('')}`);
export const byteLength = (text) => utf8(text).length;
