/* Hashes, by WebCrypto. */
import { b64, concat, utf8 } from './bytes.js';

export function subtle() {
	return globalThis.crypto.subtle;
}

/** Digest by WebCrypto's name ('SHA-1', 'SHA-256', 'SHA-384', 'SHA-512'). */
export async function digest(name, bytes) {
	return new Uint8Array(await subtle().digest(name, bytes));
}

/** SHA-256 of the concatenation; texts count as UTF-8. */
export function sha256(...parts) {
	return digest('SHA-256', concat(...parts.map((part) => (typeof part === 'string' ? utf8(part) : part))));
}

export async function sha256b64(...parts) {
	return b64(await sha256(...parts));
}
