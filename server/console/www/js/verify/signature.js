/* The HSM's signature over what was asked, under the public key that the request names (V7). */
import { b64, hex, need, unb64, Unknown } from './bytes.js';
import { HASHES, hashOf } from './norm.js';
import { get } from './record.js';
import { readSpki, verifyEcdsa, verifyEd25519, verifyPkcs1, verifyPss } from './spki.js';

/* DER of a DigestInfo up to the digest. */
const INFO = {
	sha1: '3021300906052b0e03021a05000414',
	sha224: '302d300d06096086480165030402040500041c',
	sha256: '3031300d060960864801650304020105000420',
	sha384: '3041300d060960864801650304020205000430',
	sha512: '3051300d060960864801650304020305000440',
	'sha3-224': '302d300d06096086480165030402070500041c',
	'sha3-256': '3031300d060960864801650304020805000420',
	'sha3-384': '3041300d060960864801650304020905000430',
	'sha3-512': '3051300d060960864801650304020a05000440',
};

function power(base, exponent, modulus) {
	let result = 1n;
	for (let b = base % modulus, e = exponent; e > 0n; e >>= 1n, b = (b * b) % modulus)
		if (e & 1n)
			result = (result * b) % modulus;
	return result;
}

/* PKCS#1 v1.5 over a digest whose data is not kept: what the public key opens is compared, byte for byte. */
function opensTo(key, norm, signature) {
	const info = INFO[norm.hash] + hex(norm.digest);
	const padding = key.size - info.length / 2 - 3;
	const value = BigInt(`0x${hex(signature)}`);
	need(padding >= 8 && key.e > 1n && key.e < 2n ** 64n && key.bits <= 16384, 'form.key');
	return signature.length === key.size && value < key.n &&
		power(value, key.e, key.n).toString(16).padStart(2 * key.size, '0') === `0001${'ff'.repeat(padding)}00${info}`;
}

/*
 * WebCrypto hashes what it verifies by itself: no function of it takes a digest. So a signature over a digest whose data is
 * not kept is left to `kanmon audit bundle verify`, but for RSA PKCS#1 v1.5, which is one power and a comparison.
 */
const SCHEMES = { 'rsa-pss': 'RSA-PSS', ecdsa: 'ECDSA', eddsa: 'EdDSA' };

/* PSS as WebCrypto has it: one hash for data and mask. */
function pssOf(body, hash) {
	const params = get(body, 'mech', 'params');
	const said = { hash: get(params, 'hash'), mgf: get(params, 'mgf'), salt: get(params, 'salt_len') };
	if (Object.values(said).some((value) => value === undefined))
		throw new Unknown('unknown.pss');
	const name = hash === 'sha1' ? 'SHA_1' : hash.toUpperCase().replace('-', '_');
	const mgf = `CKG_MGF1_${hash.toUpperCase().replace('-', '_')}`;
	if (said.hash !== `CKM_${name}` || said.mgf !== mgf)
		throw new Unknown('unknown.pss');
	return said.salt;
}

async function verifyBy(spki, key, body, norm, data, signature) {
	const hash = data === null ? null : await hashOf(norm, data);
	const name = hash === null ? undefined : HASHES[hash].name;
	if (key.kind === 'other')
		throw new Unknown('unknown.algorithm', { algorithm: key.algorithm });
	if (norm.scheme === 'eddsa' && data !== null && name === undefined)
		return false;
	if (name === undefined && norm.scheme !== 'rsa-pkcs1')
		throw new Unknown('unknown.digest', { scheme: SCHEMES[norm.scheme] });
	switch (norm.scheme) {
	case 'rsa-pkcs1':
		need(key.kind === 'rsa', 'signature.key');
		return name === undefined ? opensTo(key, norm, signature) : verifyPkcs1(spki, key, name, data, signature);
	case 'rsa-pss': {
		need(key.kind === 'rsa', 'signature.key');
		const salt = pssOf(body, norm.hash);
		return verifyPss(spki, key, name, salt, data, signature);
	}
	case 'ecdsa':
		need(key.kind === 'ec', 'signature.key');
		return verifyEcdsa(spki, key, name, data, signature);
	default:
		need(key.kind === 'ed25519', 'signature.key');
		return verifyEd25519(key, data, signature);
	}
}

/**
 * Holds the signature of a result against the intent that it answers. `body`: of the intent; `norm`: normOf(body);
 * `blobs`: Map of base64 hashes to bytes. Bad('signature.hsm') where it does not verify, Unknown where it cannot be
 * verified here. Answers the digests to be shown.
 */
export async function verifyResult(body, norm, signature, blobs) {
	const named = get(body, 'key', 'spki_sha256');
	const spki = blobs.get(named);
	if (spki === undefined)
		throw new Unknown('unknown.key');
	const data = blobs.get(get(body, 'in', 'sha256')) ?? null;
	let key;
	try {
		key = readSpki(spki);
	} catch {
		throw new Unknown('unknown.key');
	}
	need(await verifyBy(spki, key, body, norm, data, unb64(signature)), 'signature.hsm');
	return [{ name: 'key', value: named }, { name: 'signed', value: b64(norm.digest) }];
}
