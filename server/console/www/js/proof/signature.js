/* The HSM's signature over what was approved, under the key's public half. */
import { equal, unb64 } from '../verify/bytes.js';
import { digest } from '../verify/sha256.js';
import { rawEcdsa } from './evidence.js';

const hashes = { sha1: 'SHA-1', sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' };
const curves = { '2a8648ce3d030107': ['P-256', 32], '2b81040022': ['P-384', 48], '2b81040023': ['P-521', 66] };
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/* DER AlgorithmIdentifier of DigestInfo, with its length bytes, up to the digest. */
const digestInfos = {
	sha1: '3021300906052b0e03021a05000414', sha256: '3031300d060960864801650304020105000420',
	sha384: '3041300d060960864801650304020205000430', sha512: '3051300d060960864801650304020305000440',
};

function power(base, exponent, modulus) {
	let result = 1n;

	for (let b = base % modulus, e = exponent; e > 0n; e >>= 1n, b = b * b % modulus)
		if (e & 1n)
			result = result * b % modulus;
	return result;
}

/* PKCS #1 v1.5 over a digest: nothing needs the data for it. */
async function pkcs1(spki, norm, signature) {
	const key = await crypto.subtle.importKey('spki', spki, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, true, ['verify']);
	const { n, e } = await crypto.subtle.exportKey('jwk', key);
	const number = (text) => BigInt(`0x${hex(Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0)))}`);
	const modulus = number(n);
	const length = Math.ceil(modulus.toString(2).length / 8);
	const tail = digestInfos[norm.hash] + hex(unb64(norm.digest));

	if (signature.length !== length || digestInfos[norm.hash] === undefined)
		return digestInfos[norm.hash] === undefined ? null : false;
	const opened = power(BigInt(`0x${hex(signature)}`), number(e), modulus).toString(16).padStart(2 * length, '0');
	return opened === `0001${'ff'.repeat(length - 3 - tail.length / 2)}00${tail}`;
}

/* true, false, or null: it cannot be known here (an algorithm that browsers do not have, or only a digest came). */
export async function verifySignature(spki, norm, data, signature) {
	const hash = hashes[norm.hash];

	if (norm.scheme === 'rsa-pkcs1')
		return pkcs1(spki, norm, signature);
	if (data === null)
		return null;
	if (norm.scheme === 'eddsa')
		return crypto.subtle.verify('Ed25519', await crypto.subtle.importKey('spki', spki, 'Ed25519', false, ['verify']), signature, data);
	if (norm.scheme !== 'ecdsa' || hash === undefined || !equal(await digest(hash, data), unb64(norm.digest)))
		return norm.scheme === 'ecdsa' && hash !== undefined ? false : null;
	const curve = Object.entries(curves).find(([oid]) => hex(spki.subarray(0, 32)).includes(oid))?.[1];
	if (curve === undefined)
		return null;
	const key = await crypto.subtle.importKey('spki', spki, { name: 'ECDSA', namedCurve: curve[0] }, false, ['verify']);
	return crypto.subtle.verify({ name: 'ECDSA', hash }, key, signature.length === 2 * curve[1] ? signature : rawEcdsa(signature, curve[1]), data);
}
