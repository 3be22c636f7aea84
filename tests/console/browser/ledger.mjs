/* A ledger in memory for the stand-in: lines, their tree (RFC 6962), proofs, and checkpoints by a key of its own. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';

const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();
const leaf = (line) => sha256([0], line);
const node = (left, right) => sha256([1], left, right);
/* The largest power of two below n. */
const half = (n) => 2 ** Math.floor(Math.log2(n - 1));

export function root(leaves) {
	if (leaves.length <= 1)
		return leaves.length === 0 ? sha256() : leaves[0];
	const k = half(leaves.length);
	return node(root(leaves.slice(0, k)), root(leaves.slice(k)));
}

/* RFC 9162 2.1.4.1 */
function subproof(m, leaves, whole) {
	if (m === leaves.length)
		return whole ? [] : [root(leaves)];
	const k = half(leaves.length);
	return m <= k ? [...subproof(m, leaves.slice(0, k), whole), root(leaves.slice(k))]
		: [...subproof(m - k, leaves.slice(k), false), root(leaves.slice(0, k))];
}

/* RFC 9162 2.1.3.1 */
function inclusion(m, leaves) {
	if (leaves.length <= 1)
		return [];
	const k = half(leaves.length);
	return m < k ? [...inclusion(m, leaves.slice(0, k)), root(leaves.slice(k))] : [...inclusion(m - k, leaves.slice(k)), root(leaves.slice(0, k))];
}

export class Ledger {
	constructor(origin, policy) {
		const { publicKey, privateKey } = generateKeyPairSync('ed25519');
		const key = Buffer.concat([[1], publicKey.export({ type: 'spki', format: 'der' }).subarray(12)].map((part) => Buffer.from(part)));

		this.origin = origin;
		this.privateKey = privateKey;
		this.keyId = sha256(origin, '\n', key).subarray(0, 4);
		this.vkey = `${origin}+${this.keyId.toString('hex')}+${key.toString('base64')}`;
		this.lines = [JSON.stringify({ body: { origin, policy, vkey: this.vkey }, i: 0, type: 'genesis' })];
	}

	grow(count = 1) {
		for (let n = 0; n < count; n++)
			this.lines.push(JSON.stringify({ body: { n }, i: this.lines.length, type: 'channel.counts' }));
	}

	leaves(size = this.lines.length) {
		return this.lines.slice(0, size).map(leaf);
	}

	checkpoint(size = this.lines.length) {
		const text = `${this.origin}\n${size}\n${root(this.leaves(size)).toString('base64')}\n`;
		const signature = Buffer.concat([this.keyId, sign(null, Buffer.from(text), this.privateKey)]);

		return `${text}\n— ${this.origin} ${signature.toString('base64')}\n`;
	}

	/* Where a line stands, in base64: {head: the root of the first `size` lines, path}. */
	placed(index, size) {
		const leaves = this.leaves(size);
		return { head: root(leaves).toString('base64'), path: inclusion(index, leaves).map((hash) => hash.toString('base64')) };
	}

	answer(path, parameters) {
		const n = (name) => Number(parameters.get(name));

		switch (path) {
		case 'ledger/checkpoint':
			return { note: this.checkpoint(), vkey: this.vkey };
		case 'ledger/records':
			return { from: n('from'), size: this.lines.length, records: this.lines.slice(n('from'), n('from') + n('count')) };
		case 'ledger/consistency':
			return { from: n('from'), to: n('to'), path: subproof(n('from'), this.leaves(n('to')), true).map((hash) => hash.toString('base64')) };
		case 'ledger/proof':
			return { index: n('index'), size: n('size'), path: this.placed(n('index'), n('size')).path };
		default:
			return undefined;
		}
	}
}
