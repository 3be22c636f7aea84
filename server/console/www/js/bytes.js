/* Bytes, and the two forms of base64 that the gateway and WebAuthn use. */

const encoder = new TextEncoder();

export const utf8 = (text) => encoder.encode(text);

export function b64(bytes) {
	let text = '';

	for (const byte of new Uint8Array(bytes))
		text += String.fromCharCode(byte);
	return btoa(text);
}

export const b64url = (bytes) => b64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

export const fromB64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

export async function sha256(bytes) {
	return new Uint8Array(await crypto.subtle.digest('SHA-256', typeof bytes === 'string' ? utf8(bytes) : bytes));
}

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/* The display code of a text (docs/statements.md 1): the first 120 bits of its hash, six groups of four. */
export async function displayCode(text) {
	const hash = await sha256(text);
	let bits = 0n;

	for (let i = 0; i < 15; i++)
		bits = bits << 8n | BigInt(hash[i]);
	let code = '';
	for (let i = 23; i >= 0; i--)
		code += crockford[Number(bits >> BigInt(5 * i) & 31n)] + (i % 4 === 0 && i > 0 ? '-' : '');
	return code;
}
