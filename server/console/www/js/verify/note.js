/* C2SP signed notes, verifier keys and checkpoints (docs/ledger.md 5, 6). */
import { equal, hex, need, number, textOk, unb64, utf8 } from './bytes.js';
import * as ed25519 from './ed25519.js';
import { sha256 } from './sha256.js';

export const NOTE_MAX = 65536;
export const NOTE_IN_RECORD_MAX = 24576;
export const ED25519 = 0x01;
export const COSIGNATURE = 0x04;

/* The white space that names of keys do not have, of Unicode too. */
const SPACE = /[ \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]/u;

export function nameOk(name) {
	return name.length > 0 && utf8(name).length <= 255 && textOk(name) && !SPACE.test(name);
}

/** First four bytes of SHA-256(name LF typed key). */
export async function keyId(name, typed) {
	return (await sha256(`${name}\n`, typed)).subarray(0, 4);
}

/** The parts of `name+id+base64`: {name, id, typed}; Bad('form.vkey') where it is not its own one form. */
export async function splitVkey(text) {
	const at = text.indexOf('+');
	const name = text.slice(0, at);
	need(at > 0 && nameOk(name) && /^[0-9a-f]{8}\+/.test(text.slice(at + 1)), 'form.vkey');
	const typed = unb64(text.slice(at + 10));
	const id = await keyId(name, typed);
	need(typed.length > 1 && hex(id) === text.slice(at + 1, at + 9), 'form.vkey');
	return { name, id, typed };
}

/** A log's or a witness' key: {name, id, type, pub}. */
export async function parseVkey(text, type) {
	const { name, id, typed } = await splitVkey(text);
	need(typed.length === 33 && typed[0] === type && ed25519.keyOk(typed.subarray(1)), 'form.vkey');
	return { name, id, type, pub: typed.subarray(1) };
}

/** {text, lines: [{name, id, signature}]}; Bad('form.note'). */
export function parseNote(note, max = NOTE_MAX) {
	need(typeof note === 'string' && utf8(note).length <= max && note.endsWith('\n') && textOk(note, true), 'form.note');
	const cut = note.length < 4 ? -1 : note.lastIndexOf('\n\n', note.length - 3);
	need(cut >= 0, 'form.note');
	const lines = note.slice(cut + 2, -1).split('\n').map((line) => {
		const match = /^\u2014 ([^ ]+) ([^ ]+)$/u.exec(line);
		need(match !== null && nameOk(match[1]), 'form.note');
		const bytes = unb64(match[2]);
		need(bytes.length > 4 && bytes.length <= 4 + 4096, 'form.note');
		return { name: match[1], id: bytes.subarray(0, 4), signature: bytes.subarray(4) };
	});
	need(lines.length <= 32, 'form.note');
	return { text: note.slice(0, cut + 1), lines };
}

export function isBy(line, key) {
	return line.name === key.name && equal(line.id, key.id);
}

async function lineVerifies(note, line, key) {
	if (key.type === ED25519)
		return ed25519.verify(key.pub, utf8(note.text), line.signature);
	if (line.signature.length !== 72 || line.signature[0] >= 0x80)
		return false;
	const seconds = BigInt(`0x${hex(line.signature.subarray(0, 8))}`);
	const message = utf8(`cosignature/v1\ntime ${seconds}\n${note.text}`);
	return ed25519.verify(key.pub, message, line.signature.subarray(8));
}

/** Those of the keys that signed; a line of a known key that does not verify throws Bad('signature'). */
export async function signersOf(note, keys) {
	const signed = [];
	for (const line of note.lines)
		for (const key of keys.filter((one) => isBy(line, one))) {
			need(await lineVerifies(note, line, key), 'signature', { name: key.name });
			if (!signed.includes(key))
				signed.push(key);
		}
	return signed;
}

/** {size, root} of a checkpoint's text; Bad('form.checkpoint'). */
export function parseCheckpoint(text, origin) {
	const lines = text.split('\n');
	const size = number(lines[1] ?? '');
	need(lines.length === 4 && lines[0] === origin && size !== null && lines[3] === '', 'form.checkpoint');
	return { size, root: unb64(lines[2], 32) };
}

/** Head of a checkpoint note that the log key signed; Bad otherwise. */
export async function readCheckpoint(note, origin, log) {
	const parsed = parseNote(note);
	const head = parseCheckpoint(parsed.text, origin);
	need((await signersOf(parsed, [log])).length === 1, 'checkpoint.unsigned');
	return { ...head, note: parsed };
}
