/* The display code of a statement (docs/statements.md 1): it finds the same request on two screens, and proves nothing. */
import { sha256 } from './sha256.js';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** The first 120 bits of SHA-256 in Crockford's base32, six groups of four. */
export async function displayCode(text) {
	const hash = await sha256(text);
	let value = 0n;
	for (const byte of hash.subarray(0, 15))
		value = (value << 8n) | BigInt(byte);
	const letters = Array.from({ length: 24 }, (_, n) => ALPHABET[Number((value >> BigInt(115 - 5 * n)) & 31n)]);
	return letters.join('').replace(/.{4}(?=.)/g, '$&-');
}
