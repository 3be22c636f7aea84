/* A strict reader of DER: definite lengths in their shortest form, tags of one byte, nothing left over. */
import { need } from './bytes.js';

export const SEQUENCE = 0x30;
export const SET = 0x31;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const NULL = 0x05;
export const OID = 0x06;

function check(truth) {
	need(truth, 'form.der');
}

export class Der {
	constructor(bytes) {
		this.bytes = bytes;
		this.at = 0;
	}

	get done() {
		return this.at === this.bytes.length;
	}

	/** Tag of the next element, -1 at the end. */
	peek() {
		return this.done ? -1 : this.bytes[this.at];
	}

	length() {
		const first = this.bytes[this.at++];
		check(first !== undefined && first !== 0x80 && first <= 0x83);
		if (first < 0x80)
			return first;
		let length = 0;
		for (let n = first & 0x7f; n > 0; n--) {
			check(this.at < this.bytes.length);
			length = length * 256 + this.bytes[this.at++];
		}
		check(length >= 0x80 && length >= 256 ** ((first & 0x7f) - 1));
		return length;
	}

	/** The next element: {tag, inner, whole}. */
	any() {
		const from = this.at;
		const tag = this.peek();
		check(tag >= 0 && (tag & 0x1f) !== 0x1f);
		this.at++;
		const length = this.length();
		check(this.at + length <= this.bytes.length);
		this.at += length;
		return { tag, inner: this.bytes.subarray(this.at - length, this.at), whole: this.bytes.subarray(from, this.at) };
	}

	take(tag) {
		check(this.peek() === tag);
		return this.any();
	}

	maybe(tag) {
		return this.peek() === tag ? this.any() : null;
	}

	/** Reads a constructed element's content, all of it, by `read(Der)`. */
	inside(tag, read) {
		return inside(this.take(tag).inner, read);
	}

	end() {
		check(this.done);
	}
}

/** What `read` makes of these bytes, of which it must use every one. */
export function inside(bytes, read) {
	const der = new Der(bytes);
	const value = read(der);
	der.end();
	return value;
}

/** Every element of a constructed one, by `read`. */
export function each(bytes, read) {
	return inside(bytes, (der) => {
		const list = [];
		while (!der.done)
			list.push(read(der));
		return list;
	});
}

/** Content of an INTEGER in its shortest form, as a BigInt. */
export function integer(bytes) {
	check(bytes.length > 0 && !(bytes.length > 1 && ((bytes[0] === 0 && bytes[1] < 0x80) || (bytes[0] === 0xff && bytes[1] >= 0x80))));
	const value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
	return bytes[0] >= 0x80 ? value - (1n << BigInt(8 * bytes.length)) : value;
}

/** Content of an OBJECT IDENTIFIER, dotted. */
export function oid(bytes) {
	check(bytes.length > 0 && bytes.length <= 64 && bytes.at(-1) < 0x80);
	const arcs = [];
	let arc = 0n;
	let fresh = true;
	for (const byte of bytes) {
		check(!fresh || byte !== 0x80);
		arc = (arc << 7n) | BigInt(byte & 0x7f);
		fresh = byte < 0x80;
		if (fresh) {
			arcs.push(arc);
			arc = 0n;
		}
	}
	const first = arcs[0] < 80n ? arcs[0] / 40n : 2n;
	return [first, arcs[0] - 40n * first, ...arcs.slice(1)].join('.');
}

/** Content of a BIT STRING: {unused, bytes}; unused bits are zero. */
export function bits(content) {
	check(content.length > 0 && content[0] < 8 && (content.length > 1 || content[0] === 0));
	check((content.at(-1) & ((1 << content[0]) - 1)) === 0 || content.length === 1);
	return { unused: content[0], bytes: content.subarray(1) };
}

/** Content of a BOOLEAN. */
export function truth(content) {
	check(content.length === 1 && (content[0] === 0 || content[0] === 0xff));
	return content[0] === 0xff;
}
