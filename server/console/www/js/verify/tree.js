/* The Merkle tree of RFC 6962 and 9162 over SHA-256. Sizes are below 2^53, so no bit operators. */
import { equal } from './bytes.js';
import { sha256 } from './sha256.js';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const half = (n) => Math.floor(n / 2);
const odd = (n) => n % 2 === 1;

export function leafHash(line) {
	return sha256(LEAF, line);
}

function nodeHash(left, right) {
	return sha256(NODE, left, right);
}

/** RFC 9162 2.1.3.2: is this leaf number `index` of the tree of `head` ({size, root})? */
export async function includes(leaf, index, head, path) {
	if (index >= head.size || path.length > 63)
		return false;
	let at = index;
	let last = head.size - 1;
	let hash = leaf;
	for (const other of path) {
		if (last === 0)
			return false;
		if (odd(at) || at === last) {
			hash = await nodeHash(other, hash);
			while (!odd(at) && at !== 0)
				[at, last] = [half(at), half(last)];
		} else {
			hash = await nodeHash(hash, other);
		}
		[at, last] = [half(at), half(last)];
	}
	return last === 0 && equal(hash, head.root);
}

/* The two roots that the path makes, folded from where both trees part. */
async function fold(at, last, hashes, first) {
	let older = first;
	let newer = first;
	for (const other of hashes) {
		if (last === 0)
			return null;
		if (odd(at) || at === last) {
			older = await nodeHash(other, older);
			newer = await nodeHash(other, newer);
			while (!odd(at) && at !== 0)
				[at, last] = [half(at), half(last)];
		} else {
			newer = await nodeHash(newer, other);
		}
		[at, last] = [half(at), half(last)];
	}
	return last === 0 ? { older, newer } : null;
}

/** RFC 9162 2.1.4.2: did the tree of head `to` grow out of that of head `from`? */
export async function grew(from, to, path) {
	if (from.size > to.size || path.length > 63)
		return false;
	if (from.size === 0)
		return path.length === 0 && equal(from.root, await sha256());
	if (from.size === to.size)
		return path.length === 0 && equal(from.root, to.root);
	let at = from.size - 1;
	let last = to.size - 1;
	while (odd(at))
		[at, last] = [half(at), half(last)];
	const power = at === 0;
	if (!power && path.length === 0)
		return false;
	const roots = await fold(at, last, power ? path : path.slice(1), power ? from.root : path[0]);
	return roots !== null && equal(roots.older, from.root) && equal(roots.newer, to.root);
}
