/*
 * Ed25519 by WebCrypto, and as strict as docs/ledger.md 1 asks, which WebCrypto is not everywhere: a public key or R
 * of small order, a coordinate that is not reduced, an S that is not, are refused before it is asked. What is computed
 * here is public and only ever refuses; the signature itself is verified by the browser.
 */
import { Unknown } from './bytes.js';
import { subtle } from './sha256.js';

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const ROOT = 19681161376707505956807079304988542015446066515923890162744021073123829784752n; /* of -1 */

/* y of every point whose order divides 8. */
const SMALL = new Set([
	0n,
	1n,
	P - 1n,
	2707385501144840649318225287225658788936804267575313519463743609750303402022n,
	55188659117513257062467267217118295137698188065244968500265048394206261417927n,
]);

const mod = (n) => ((n % P) + P) % P;

function power(base, exponent) {
	let result = 1n;
	for (let b = base, e = exponent; e > 0n; e >>= 1n, b = mod(b * b))
		if (e & 1n)
			result = mod(result * b);
	return result;
}

function littleEndian(bytes) {
	return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

const yOf = (bytes) => littleEndian(bytes) & (2n ** 255n - 1n);

/* The point that 32 bytes stand for, as x, y, z, t; null: none does. */
function decode(bytes) {
	const y = yOf(bytes);
	const sign = BigInt(bytes[31] >> 7);
	const xx = mod((y * y - 1n) * power(mod(D * y * y + 1n), P - 2n));
	let x = power(xx, (P + 3n) / 8n);
	if (mod(x * x) !== xx)
		x = mod(x * ROOT);
	if (y >= P || mod(x * x) !== xx || (x === 0n && sign === 1n))
		return null;
	x = (x & 1n) === sign ? x : P - x;
	return [x, y, 1n, mod(x * y)];
}

function add(p, q) {
	const a = (p[1] - p[0]) * (q[1] - q[0]);
	const b = (p[1] + p[0]) * (q[1] + q[0]);
	const c = 2n * p[3] * q[3] * D;
	const d = 2n * p[2] * q[2];
	const [e, f, g, h] = [mod(b - a), mod(d - c), mod(d + c), mod(b + a)];
	return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

const good = new Map();

/** Whether 32 bytes are a public key: reduced, and a point of the prime-order group other than its zero. */
export function keyOk(bytes) {
	if (bytes.length !== 32)
		return false;
	const name = littleEndian(bytes);
	if (!good.has(name)) {
		let base = decode(bytes);
		let sum = [0n, 1n, 1n, 0n];
		for (let n = ORDER; base !== null && n > 0n; n >>= 1n, base = add(base, base))
			if (n & 1n)
				sum = add(sum, base);
		good.set(name, base !== null && !SMALL.has(yOf(bytes)) && sum[0] === 0n && sum[1] === sum[2]);
	}
	return good.get(name);
}

/** True or false; throws Unknown where this browser has no Ed25519. */
export async function verify(key, message, signature) {
	if (signature.length !== 64 || !keyOk(key))
		return false;
	if (SMALL.has(mod(yOf(signature.subarray(0, 32)))) || littleEndian(signature.subarray(32)) >= ORDER)
		return false;
	let imported;
	try {
		imported = await subtle().importKey('raw', key, { name: 'Ed25519' }, false, ['verify']);
	} catch (error) {
		throw error.name === 'DataError' ? error : new Unknown('unknown.ed25519');
	}
	return subtle().verify({ name: 'Ed25519' }, imported, signature, message);
}
