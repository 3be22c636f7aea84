/*
 * Ledgers that somebody changed who holds the log key: records edited, every reference made right again, the tree made
 * anew, its head signed. What is left wrong is what the records say.
 */
import { createPrivateKey, createHash, sign } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';

export const H = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const leaf = (line) => H(Buffer.of(0), line);
const node = (left, right) => H(Buffer.of(1), left, right);
const b64 = (bytes) => Buffer.from(bytes).toString('base64');

export function emit(value) {
	if (Array.isArray(value))
		return `[${value.map(emit).join(',')}]`;
	if (value !== null && typeof value === 'object')
		return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${emit(value[name])}`).join(',')}}`;
	return JSON.stringify(value);
}

const split = (n) => 2 ** Math.ceil(Math.log2(n) - 1);

function root(leaves) {
	if (leaves.length <= 1)
		return leaves[0] ?? H();
	const k = split(leaves.length);
	return node(root(leaves.slice(0, k)), root(leaves.slice(k)));
}

function inclusion(leaves, index) {
	if (leaves.length <= 1)
		return [];
	const k = split(leaves.length);
	return index < k ? [...inclusion(leaves.slice(0, k), index), root(leaves.slice(k))]
		: [...inclusion(leaves.slice(k), index - k), root(leaves.slice(0, k))];
}

function consistency(leaves, size, whole = true) {
	if (size === leaves.length)
		return whole ? [] : [root(leaves)];
	const k = split(leaves.length);
	return size <= k ? [...consistency(leaves.slice(0, k), size, whole), root(leaves.slice(k))]
		: [...consistency(leaves.slice(k), size - k, false), root(leaves.slice(0, k))];
}

export class Ledger {
	constructor(folder, key) {
		const lines = readFileSync(`${folder}/seg/00000000000000000000.kl`, 'utf8').split('\n');
		this.lines = lines.filter((line) => line.startsWith('{'));
		this.records = this.lines.map((line) => JSON.parse(line));
		this.leaves = this.lines.map((line) => leaf(Buffer.from(line)));
		this.origin = this.records[0].body.origin;
		this.vkey = this.records[0].body.vkey;
		this.blobs = readdirSync(`${folder}/blobs`).map((name) => readFileSync(`${folder}/blobs/${name}`));
		this.key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), key]), format: 'der', type: 'pkcs8' });
	}

	/* References by index and leaf, wherever they stand, to the leaves as they are now. */
	mend(value) {
		if (Array.isArray(value)) {
			value.forEach((item) => this.mend(item));
		} else if (value !== null && typeof value === 'object') {
			if (typeof value.i === 'number' && typeof value.leaf === 'string' && this.leaves[value.i] !== undefined)
				value.leaf = b64(this.leaves[value.i]);
			Object.values(value).forEach((item) => this.mend(item));
		}
	}

	/* From record `i` on, after it was edited: leaves, `prev`, references. */
	remake(i) {
		for (let n = i; n < this.records.length; n++) {
			const record = this.records[n];
			if (n > i) {
				record.prev = b64(this.leaves[n - 1]);
				this.mend(record.body);
			}
			this.lines[n] = emit(record);
			this.leaves[n] = leaf(Buffer.from(this.lines[n]));
		}
	}

	checkpoint(size = this.leaves.length) {
		const text = `${this.origin}\n${size}\n${b64(root(this.leaves.slice(0, size)))}\n`;
		const id = Buffer.from(this.vkey.split('+')[1], 'hex');
		return `${text}\n\u2014 ${this.origin} ${b64(Buffer.concat([id, sign(null, Buffer.from(text), this.key)]))}\n`;
	}

	consistency(from, to = this.leaves.length) {
		return consistency(this.leaves.slice(0, to), from).map(b64);
	}

	/* The bundle with the records and blobs of another one, of this ledger as it is now. */
	bundle(like) {
		const want = like.split('\n');
		const note = this.checkpoint();
		const out = [...want.slice(0, 3), `checkpoint ${note.split('\n').length - 1}`];
		const paths = (word, list) => list.forEach(([number, hashes, line]) => out.push(`${word} ${number} ${hashes.length}`,
			...(line === undefined ? [] : [line]), ...hashes.map(b64)));
		const numbers = (word) => want.filter((line) => line.startsWith(`${word} `)).map((line) => Number(line.split(' ')[1]));
		out.push(note.slice(0, -1));
		paths('record', numbers('record').map((i) => [i, inclusion(this.leaves, i), this.lines[i]]));
		paths('consistency', numbers('consistency').map((size) => [size, consistency(this.leaves, size)]));
		return `${[...out, ...want.filter((line) => line.startsWith('blob ')), 'end'].join('\n')}\n`;
	}
}
