/*
 * Bytes and the texts that stand for them. Every form has one way to be written; anything else is refused.
 */

/** What is wrong with something that was read: `why` is a key of the texts, `params` go into it. */
export class Bad extends Error {
	constructor(why, params = {}) {
		super(why);
		this.name = 'Bad';
		this.why = why;
		this.params = params;
	}
}

/** What cannot be known here: not wrong, and not right. */
export class Unknown extends Bad {}

export function need(truth, why, params) {
	if (!truth)
		throw new Bad(why, params);
}

const FOREIGN = /[^A-Za-z0-9+/]/; /* not the whole form: a pattern of groups overflows its stack on megabytes */

/** Base64 of RFC 4648 section 4: padded, unused bits zero. */
export function b64(bytes) {
	let text = '';
	for (let at = 0; at < bytes.length; at += 0x6000)
		text += btoa(String.fromCharCode(...bytes.subarray(at, at + 0x6000)));
	return text;
}

/** The bytes; Bad('form.b64') for any other form, or another length where one is given. */
export function unb64(text, length) {
	need(typeof text === 'string' && text.length % 4 === 0 && !FOREIGN.test(text.replace(/={1,2}$/, '')), 'form.b64');
	const binary = atob(text);
	const bytes = new Uint8Array(binary.length);
	for (let n = 0; n < bytes.length; n++)
		bytes[n] = binary.charCodeAt(n);
	need(length === undefined || bytes.length === length, 'form.b64');
	const end = bytes.subarray(bytes.length - (bytes.length % 3));
	need(text.endsWith(b64(end)), 'form.b64');
	return bytes;
}

/** Base64url without padding, as WebAuthn writes challenges. */
export function b64url(bytes) {
	return b64(bytes).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

export function hex(bytes) {
	return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function utf8(text) {
	return encoder.encode(text);
}

/** The text of UTF-8 bytes; Bad('form.utf8') where they are none (overlong, surrogates, cut). */
export function unutf8(bytes) {
	try {
		return decoder.decode(bytes);
	} catch {
		throw new Bad('form.utf8');
	}
}

export function concat(...parts) {
	const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}

export function equal(a, b) {
	return a.length === b.length && a.every((byte, n) => byte === b[n]);
}

/** -1, 0, 1: by bytes, the shorter first. */
export function compare(a, b) {
	for (let n = 0; n < a.length && n < b.length; n++)
		if (a[n] !== b[n])
			return a[n] < b[n] ? -1 : 1;
	return Math.sign(a.length - b.length);
}

/** A decimal number below 2^53 without leading zero, or null. */
export function number(text) {
	const value = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN;
	return Number.isSafeInteger(value) ? value : null;
}

/* Controls, and what makes text look like other text (docs/ledger.md 2). */
const HIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/u;

/** Whether a text has only characters that records, notes and policies may have. */
export function textOk(text, lf = false) {
	return !HIDDEN.test(text) && (lf || !text.includes('\n'));
}
