/*
 * What an operator's file holds. Certificates, CRLs and certificate requests are {what is signed, algorithm, signature}:
 * of a finished one (a pre-certificate by a throwaway key, say) only the first part is taken.
 */
import { fromB64 } from './bytes.js';

const SEQUENCE = 0x30, BIT_STRING = 0x03;

/* One element at `at`: {tag, begin, value, end}, or null where it does not fit. */
function element(bytes, at) {
	if (at + 2 > bytes.length)
		return null;
	let length = bytes[at + 1], value = at + 2;

	if (length >= 0x80) {
		const count = length & 0x7f;
		if (count < 1 || count > 4 || value + count > bytes.length)
			return null;
		length = bytes.subarray(value, value + count).reduce((sum, byte) => sum * 256 + byte, 0);
		value += count;
	}
	return value + length > bytes.length ? null : { tag: bytes[at], begin: at, value, end: value + length };
}

function inside(bytes, outer) {
	const found = [];

	for (let at = outer.value; at < outer.end;) {
		const next = element(bytes, at);
		if (next === null || next.end > outer.end)
			return null;
		found.push(next);
		at = next.end;
	}
	return found;
}

/* PEM or DER to DER; null: neither. */
function toDer(bytes) {
	if (bytes[0] === SEQUENCE)
		return bytes;
	const text = new TextDecoder().decode(bytes);
	const body = /-----BEGIN [A-Z0-9 ]+-----([A-Za-z0-9+/=\s]+)-----END/.exec(text);

	try {
		return body === null ? null : fromB64(body[1].replace(/\s/g, ''));
	} catch {
		return null;
	}
}

/* {bytes: what will be signed, whole: it was a finished structure}; null: no DER of one sequence. */
export function toBeSigned(file) {
	const der = toDer(file);
	const outer = der === null ? null : element(der, 0);

	if (outer === null || outer.tag !== SEQUENCE || outer.end !== der.length)
		return null;
	const parts = inside(der, outer);
	if (parts?.length === 3 && parts[0].tag === SEQUENCE && parts[1].tag === SEQUENCE && parts[2].tag === BIT_STRING)
		return { bytes: der.slice(parts[0].begin, parts[0].end), whole: true };
	return { bytes: der, whole: false };
}
