/* SubjectPublicKeyInfo: what kind of key it is, and what WebCrypto makes of it. */
import { need, Unknown } from './bytes.js';
import { BIT_STRING, bits, Der, inside, INTEGER, integer, NULL, OID, oid, SEQUENCE } from './der.js';
import * as ed25519 from './ed25519.js';
import { subtle } from './sha256.js';

export const CURVES = {
	'1.2.840.10045.3.1.7': { name: 'P-256', bytes: 32 },
	'1.3.132.0.34': { name: 'P-384', bytes: 48 },
	'1.3.132.0.35': { name: 'P-521', bytes: 66 },
};

function rsa(bytes) {
	return inside(bytes, (der) => der.inside(SEQUENCE, (numbers) => {
		const [n, e] = [integer(numbers.take(INTEGER).inner), integer(numbers.take(INTEGER).inner)];
		need(n > 0n && e > 0n, 'form.key');
		return { kind: 'rsa', n, e, size: Math.ceil(n.toString(2).length / 8), bits: n.toString(2).length };
	}));
}

/**
 * {kind: 'rsa' (n, e, size, bits), 'ec' (curve, point; curve undefined where it is none of CURVES), 'ed25519' (pub) or
 * 'other', algorithm: dotted OID}.
 */
export function readSpki(spki) {
	return inside(spki, (outer) => outer.inside(SEQUENCE, (der) => {
		const algorithm = der.take(SEQUENCE).inner;
		const { unused, bytes } = bits(der.take(BIT_STRING).inner);
		const at = new Der(algorithm);
		const name = oid(at.take(OID).inner);
		need(unused === 0, 'form.key');
		if (name === '1.2.840.113549.1.1.1') {
			need(at.take(NULL).inner.length === 0 && at.done, 'form.key');
			return { algorithm: name, ...rsa(bytes) };
		}
		if (name === '1.2.840.10045.2.1')
			return { algorithm: name, kind: 'ec', curve: at.peek() === OID ? CURVES[oid(at.take(OID).inner)] : undefined, point: bytes };
		if (name === '1.3.101.112' && at.done && bytes.length === 32)
			return { algorithm: name, kind: 'ed25519', pub: bytes };
		return { algorithm: name, kind: 'other' };
	}));
}

/* Imports for verifying; what this browser does not know is Unknown, what is no key is wrong. */
async function importKey(spki, algorithm) {
	try {
		return await subtle().importKey('spki', spki, algorithm, false, ['verify']);
	} catch (error) {
		if (error.name === 'DataError')
			need(false, 'form.key');
		throw new Unknown('unknown.algorithm', { algorithm: algorithm.name });
	}
}

/** Does r || s verify over the data? */
export async function verifyEcdsa(spki, key, hash, data, signature) {
	if (key.curve === undefined)
		throw new Unknown('unknown.algorithm', { algorithm: 'ECDSA' });
	if (signature.length !== 2 * key.curve.bytes)
		return false;
	const imported = await importKey(spki, { name: 'ECDSA', namedCurve: key.curve.name });
	return subtle().verify({ name: 'ECDSA', hash }, imported, signature, data);
}

export async function verifyPss(spki, key, hash, saltLength, data, signature) {
	if (signature.length !== key.size)
		return false;
	const imported = await importKey(spki, { name: 'RSA-PSS', hash });
	return subtle().verify({ name: 'RSA-PSS', saltLength }, imported, signature, data);
}

export async function verifyPkcs1(spki, key, hash, data, signature) {
	if (signature.length !== key.size)
		return false;
	const imported = await importKey(spki, { name: 'RSASSA-PKCS1-v1_5', hash });
	return subtle().verify({ name: 'RSASSA-PKCS1-v1_5' }, imported, signature, data);
}

export function verifyEd25519(key, data, signature) {
	return ed25519.verify(key.pub, data, signature);
}

/** r || s of an ECDSA signature in DER. */
export function flatEcdsa(signature, size) {
	const half = (content) => {
		const value = integer(content);
		const text = value.toString(16).padStart(2 * size, '0');
		need(value >= 0n && text.length === 2 * size, 'form.der');
		return text;
	};
	const text = inside(signature, (der) => der.inside(SEQUENCE, (two) => half(two.take(INTEGER).inner) + half(two.take(INTEGER).inner)));
	return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}
