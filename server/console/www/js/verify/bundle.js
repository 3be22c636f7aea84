/* kanmon/bundle/v1 (docs/ledger.md 8a): one text, which can be written in one way only. */
import { b64, compare, need, number, unb64, unutf8, utf8 } from './bytes.js';
import { NOTE_MAX } from './note.js';
import { LINE_MAX } from './record.js';
import { sha256 } from './sha256.js';

const BUNDLE_MAX = 64 << 20;
const HASHES_MAX = 63;

class Lines {
	constructor(text) {
		this.lines = text.split('\n');
		need(this.lines.pop() === '', 'form.bundle', { line: this.lines.length + 1 });
		this.at = 0;
	}

	check(truth) {
		need(truth, 'form.bundle', { line: this.at });
	}

	next() {
		this.at++;
		this.check(this.at <= this.lines.length);
		return this.lines[this.at - 1];
	}

	/* The words behind the first, which must be `word`. */
	words(line, word, count) {
		const words = line.split(' ');
		this.check(words[0] === word && words.length === count + 1);
		return words.slice(1);
	}

	number(word) {
		const value = number(word);
		this.check(value !== null);
		return value;
	}

	hashes(count) {
		this.check(count <= HASHES_MAX);
		return Array.from({ length: count }, () => unb64(this.next(), 32));
	}
}

function readRecord(lines, line) {
	const [index, count] = lines.words(line, 'record', 2).map((word) => lines.number(word));
	const bytes = utf8(lines.next());
	lines.check(bytes.length <= LINE_MAX);
	return { index, bytes, path: lines.hashes(count) };
}

function readConsistency(lines, line) {
	const [size, count] = lines.words(line, 'consistency', 2).map((word) => lines.number(word));
	return { size, path: lines.hashes(count) };
}

async function readBlob(lines, line) {
	const [text] = lines.words(line, 'blob', 1);
	const bytes = unb64(text);
	lines.check(bytes.length > 0);
	return { bytes, hash: await sha256(bytes) };
}

const PARTS = [
	{ word: 'record', list: 'records', max: 4096, read: readRecord, order: (a, b) => a.index - b.index },
	{ word: 'consistency', list: 'consistency', max: 64, read: readConsistency, order: (a, b) => a.size - b.size },
	{ word: 'blob', list: 'blobs', max: 64, read: readBlob, order: (a, b) => compare(a.hash, b.hash) },
];

/* In the order that a bundle has: kinds after each other, each ascending, nothing twice. */
async function readParts(lines, bundle) {
	let kind = 0;
	for (let line = lines.next(); line !== 'end'; line = lines.next()) {
		const now = PARTS.findIndex((part) => line.startsWith(`${part.word} `));
		lines.check(now >= kind);
		kind = now;
		const { list, max, read, order } = PARTS[kind];
		const part = await read(lines, line);
		const before = bundle[list].at(-1);
		lines.check((before === undefined || order(before, part) < 0) && bundle[list].length < max);
		bundle[list].push(part);
	}
	lines.check(lines.at === lines.lines.length);
}

/**
 * {origin, request, note, records: [{index, bytes, path}], consistency: [{size, path}], blobs: Map of base64 of the
 * SHA-256 to bytes}, of a text or its bytes. Bad('form.bundle', {line}) where anything is not in its one form.
 */
export async function parseBundle(data) {
	const text = typeof data === 'string' ? data : unutf8(data);
	need(text.length <= BUNDLE_MAX && !text.includes('\0'), 'form.bundle', { line: 1 });
	const lines = new Lines(text);
	lines.check(lines.next() === 'kanmon/bundle/v1');
	const first = lines.next();
	const origin = first.slice('origin '.length);
	lines.check(first.startsWith('origin ') && origin.length > 0 && utf8(origin).length <= 255);
	const request = lines.number(lines.words(lines.next(), 'request', 1)[0]);
	const count = lines.number(lines.words(lines.next(), 'checkpoint', 1)[0]);
	lines.check(count <= 40);
	const note = Array.from({ length: count }, () => `${lines.next()}\n`).join('');
	lines.check(utf8(note).length <= NOTE_MAX);
	const bundle = { origin, request, note, records: [], consistency: [], blobs: [] };
	await readParts(lines, bundle);
	return { ...bundle, blobs: new Map(bundle.blobs.map(({ hash, bytes }) => [b64(hash), bytes])) };
}
