/*
 * A bundle (docs/ledger.md 8a): read strictly, and brought to its place: the checkpoint is signed by the log key, each
 * record is a leaf of its tree. What is wrong throws a Wrong with the key of its words.
 */
import { equal, number, unb64, utf8 } from '../verify/bytes.js';
import { sha256, sha256b64 } from '../verify/sha256.js';
import { grew, includes, leafHash } from '../verify/tree.js';

export class Wrong extends Error {
	constructor(why, ...values) {
		super(why);
		Object.assign(this, { why, values });
	}
}

export function must(truth, why, ...values) {
	if (!truth)
		throw new Wrong(why, ...values);
}

/* Canonical JSON as the ledger has it: sorted names, no spaces, only `"`, `\` and LF escaped. */
function canonical(value) {
	if (Array.isArray(value))
		return `[${value.map(canonical).join(',')}]`;
	if (value !== null && typeof value === 'object')
		return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`;
	return JSON.stringify(value);
}

/* A record's line as a value; a line that is not its own canonical form is none. */
export function readRecord(line) {
	let record;

	try {
		record = JSON.parse(line);
	} catch {
		throw new Wrong('proof.form');
	}
	must(canonical(record) === line && Number.isSafeInteger(record.i) && typeof record.type === 'string', 'proof.form');
	return { ...record, line };
}

class Lines {
	constructor(text) {
		must(text.endsWith('\n'), 'proof.form');
		this.lines = text.slice(0, -1).split('\n');
		this.at = 0;
	}

	next() {
		must(this.at < this.lines.length, 'proof.form');
		return this.lines[this.at++];
	}

	/* The words after a line's first, which must be this one; null: the line is another one. */
	take(word) {
		if (!this.lines[this.at]?.startsWith(`${word} `) && this.lines[this.at] !== word)
			return null;
		return this.next().split(' ').slice(1);
	}

	must(word) {
		const words = this.take(word);
		must(words !== null, 'proof.form');
		return words;
	}

	hashes(count) {
		return Array.from({ length: number(count) ?? 64 }, () => unb64(this.next(), 32));
	}
}

export function parseBundle(text) {
	const lines = new Lines(text);

	must(lines.next() === 'kanmon/bundle/v1', 'proof.form');
	const [origin] = lines.must('origin'), [request] = lines.must('request'), [count] = lines.must('checkpoint');
	const checkpoint = `${Array.from({ length: number(count) ?? 0 }, () => lines.next()).join('\n')}\n`;
	const bundle = { origin, request: number(request), checkpoint, records: [], heads: [], blobs: [] };

	for (let words; (words = lines.take('record')) !== null;) {
		const index = number(words[0]);
		const line = lines.next();
		bundle.records.push({ index, line, path: lines.hashes(words[1]) });
	}
	for (let words; (words = lines.take('consistency')) !== null;)
		bundle.heads.push({ size: number(words[0]), path: lines.hashes(words[1]) });
	for (let words; (words = lines.take('blob')) !== null;)
		bundle.blobs.push(unb64(words[0]));
	must(lines.next() === 'end' && lines.at === lines.lines.length, 'proof.form');
	return bundle;
}

/* The head of a checkpoint note that the log key signed. */
export async function headOf(note, { origin, log }) {
	const end = note.indexOf('\n\n') + 1;
	const text = note.slice(0, end);
	const lines = text.split('\n');
	const key = unb64(log.split('+').slice(2).join('+'));
	const id = (await sha256(`${origin}\n`, key)).subarray(0, 4);

	must(end > 0 && lines.length === 4 && lines[0] === origin && number(lines[1]) !== null, 'proof.checkpoint');
	for (const line of note.slice(end + 1).split('\n').filter((one) => one.startsWith(`— ${origin} `))) {
		const blob = unb64(line.split(' ')[2]);
		if (!equal(blob.subarray(0, 4), id))
			continue;
		const publicKey = await crypto.subtle.importKey('raw', key.subarray(1), 'Ed25519', false, ['verify']);
		must(await crypto.subtle.verify('Ed25519', publicKey, blob.subarray(4), utf8(text)), 'proof.checkpoint.signature');
		return { size: number(lines[1]), root: unb64(lines[2], 32) };
	}
	throw new Wrong('proof.checkpoint.signature');
}

/* Every record in its place: {head, records: by index ascending, each with `leaf`, blobs: Map of b64 SHA-256 to bytes}. */
export async function place(bundle, trust) {
	must(bundle.origin === trust.origin, 'proof.origin');
	const head = await headOf(bundle.checkpoint, trust);
	const records = [];

	for (const { index, line, path } of bundle.records) {
		const leaf = await leafHash(line);
		const record = readRecord(line);
		must(record.i === index && index > (records.at(-1)?.i ?? -1), 'proof.form');
		must(await includes(leaf, index, head, path), 'proof.notree', index);
		records.push({ ...record, leaf });
	}
	const blobs = new Map();
	for (const blob of bundle.blobs) {
		const hash = await sha256b64(blob);
		must(records.some((record) => record.line.includes(`"${hash}"`)), 'proof.form');
		blobs.set(hash, blob);
	}
	return { head, records, blobs, heads: bundle.heads, request: bundle.request };
}

/* Is the head that a record states one that this tree grew out of? */
export async function isEarlierHead(placed, size, root) {
	const proof = placed.heads.find((one) => one.size === size);

	return proof !== undefined && grew({ size, root }, placed.head, proof.path);
}
