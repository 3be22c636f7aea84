/* The normal form of a signature (docs/statements.md 4), and whether data is what it is over. */
import { b64, equal, need, unb64, Unknown } from './bytes.js';
import { get } from './record.js';
import { digest } from './sha256.js';

/* Hashes of a normal form: bytes, and WebCrypto's name where it has one. */
export const HASHES = {
	sha1: { bytes: 20, name: 'SHA-1' },
	sha224: { bytes: 28 },
	sha256: { bytes: 32, name: 'SHA-256' },
	sha384: { bytes: 48, name: 'SHA-384' },
	sha512: { bytes: 64, name: 'SHA-512' },
	'sha3-224': { bytes: 28 },
	'sha3-256': { bytes: 32 },
	'sha3-384': { bytes: 48 },
	'sha3-512': { bytes: 64 },
};

const SCHEMES = { RSA_PKCS: 'rsa-pkcs1', RSA_PKCS_PSS: 'rsa-pss', ECDSA: 'ecdsa', EDDSA: 'eddsa' };

/** {scheme, hash} of a mechanism by name; null: none that has a normal form. */
export function schemeOf(mechanism) {
	const match = /^CKM_(?:(SHA1|SHA3?_?(?:224|256|384|512))_)?(RSA_PKCS_PSS|RSA_PKCS)$|^CKM_(ECDSA)(?:_(SHA1|SHA3?_?(?:224|256|384|512)))?$|^CKM_(EDDSA)$/
		.exec(mechanism);
	if (match === null)
		return null;
	const hash = (match[1] ?? match[4] ?? '').toLowerCase().replace('_', '-');
	return { scheme: SCHEMES[match[2] ?? match[3] ?? match[5]], hash };
}

/** {scheme, hash, digest} of an intent's `norm`; null: it has none. */
export function normOf(body) {
	const norm = get(body, 'norm');
	if (norm === undefined)
		return null;
	const { scheme, hash } = norm;
	need(Object.keys(norm).length === 3 && Object.values(SCHEMES).includes(scheme) && typeof get(norm, 'digest') === 'string', 'form.norm');
	need(hash === '' ? scheme === 'ecdsa' : Object.hasOwn(HASHES, hash), 'form.norm');
	const bytes = unb64(norm.digest);
	need(bytes.length > 0 && bytes.length <= 64 && (hash === '' || bytes.length === HASHES[hash].bytes), 'form.norm');
	return { scheme, hash, digest: bytes };
}

/** The hash (a key of HASHES) by which the data gives the digest; null: by none. Unknown: by one that is not known here. */
export async function hashOf(norm, data) {
	let unknown = false;
	if (equal(data, norm.digest)) /* the digest is no data that gives itself */
		return null;
	for (const [hash, { bytes, name }] of Object.entries(HASHES)) {
		if (norm.hash === '' ? bytes !== norm.digest.length : hash !== norm.hash)
			continue;
		if (name === undefined)
			unknown = true;
		else if (b64(await digest(name, data)) === b64(norm.digest))
			return hash;
	}
	if (unknown)
		throw new Unknown('unknown.hash', { hash: norm.hash || 'SHA-3' });
	return null;
}
