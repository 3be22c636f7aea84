/* Records of the ledger: canonical lines, their envelope and the members of each type (docs/ledger.md 2, 4). */
import { Bad, need, textOk, unb64, unutf8, utf8 } from './bytes.js';
import { leafHash } from './tree.js';
import { TYPES } from './types.js';

const NAME = /^[A-Za-z0-9_]{1,32}$/;
export const LINE_MAX = 32768;

/** Own member of an object that was read, or undefined. */
export function get(object, ...names) {
	return names.reduce((value, name) => (value !== null && typeof value === 'object' && !Array.isArray(value) &&
		Object.hasOwn(value, name) ? value[name] : undefined), object);
}

export const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

function emitParts(value, depth) {
	need(depth < 6, 'form.canonical');
	if (Array.isArray(value))
		return `[${value.map((item) => emit(item, depth + 1)).join(',')}]`;
	const names = Object.keys(value).sort();
	need(names.every((name) => NAME.test(name)), 'form.canonical');
	return `{${names.map((name) => `"${name}":${emit(value[name], depth + 1)}`).join(',')}}`;
}

/** The canonical form of a value; Bad('form.canonical') where it has none. */
export function emit(value, depth = 0) {
	switch (typeof value) {
	case 'boolean':
		return String(value);
	case 'number':
		need(Number.isSafeInteger(value) && value >= 0, 'form.canonical');
		return String(value);
	case 'string':
		need(textOk(value, true), 'form.canonical');
		return `"${value.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`;
	default:
		need(value !== null, 'form.canonical');
		return emitParts(value, depth);
	}
}

const noLf = (value) => (typeof value === 'string' ? !value.includes('\n')
	: value === null || typeof value !== 'object' || Object.values(value).every(noLf));

const isB64 = (value, length) => {
	try {
		return unb64(value, length) !== null;
	} catch {
		return false;
	}
};

export const isRef = (value) => isObject(value) && Object.keys(value).length === 2 && typeof get(value, 'i') === 'number' &&
	isB64(get(value, 'leaf'), 32);

const KINDS = {
	text: (value) => typeof value === 'string' && noLf(value),
	note: (value) => typeof value === 'string' || typeof value === 'object',
	number: (value) => typeof value === 'number',
	bool: (value) => typeof value === 'boolean',
	hash: (value) => isB64(value, 32),
	b64: (value) => isB64(value),
	ref: isRef,
	refs: (value) => Array.isArray(value) && value.every(isRef),
	object: (value) => isObject(value) && noLf(value),
	list: (value) => Array.isArray(value) && noLf(value),
	any: noLf,
};

const rows = new Map();
for (const line of TYPES.trim().split('\n')) {
	const [type, ...members] = line.trim().split(/ +/);
	rows.set(type, members.map((member) => {
		const [name, kind] = member.split('=');
		return { name: name.replace('?', ''), optional: name.endsWith('?'), kind };
	}));
}

function checkBody(type, body) {
	const members = rows.get(type);
	need(members !== undefined, 'record.type', { type });
	for (const { name, optional, kind } of members) {
		const value = get(body, name);
		need(value !== undefined || optional, 'record.member', { type, name });
		need(value === undefined || KINDS[kind](value), 'record.member', { type, name });
	}
	need(Object.keys(body).every((name) => members.some((member) => member.name === name)), 'record.member', { type, name: '?' });
}

const ENVELOPE = ['body', 'i', 'm', 'nonce', 'prev', 't', 'type', 'v'];

/** A record from its line's bytes: {i, t, m, type, body, leaf, line}; Bad otherwise. */
export async function parseRecord(bytes) {
	need(bytes.length <= LINE_MAX, 'form.canonical');
	const line = unutf8(bytes);
	let value;
	try {
		value = JSON.parse(line);
	} catch {
		throw new Bad('form.canonical');
	}
	need(isObject(value) && emit(value) === line, 'form.canonical');
	need(Object.keys(value).length === ENVELOPE.length && ENVELOPE.every((name) => Object.hasOwn(value, name)), 'form.envelope');
	const { body, i, m, nonce, prev, t, type, v } = value;
	need(v === 1 && [i, m, t].every((n) => typeof n === 'number') && isB64(nonce, 16) && isB64(prev, 32) &&
		typeof type === 'string' && noLf(type) && isObject(body), 'form.envelope');
	checkBody(type, body);
	return { i, t, m, type, body, line, leaf: await leafHash(bytes) };
}

/** Bytes of canonical JSON, for hashing. */
export const emitBytes = (value) => utf8(emit(value));
