/*
 * Who asked for a call at the console (docs/statements.md 8): an operator's instruction, signed before the call that names
 * it; and whether the call is the one that it wants.
 */
import { b64, hex, need, number, unb64, utf8 } from './bytes.js';
import { evidenceOf } from './evidence.js';
import { NOTE_IN_RECORD_MAX, parseNote } from './note.js';
import { get } from './record.js';
import { timeOf } from './time.js';
import { escaped, isValue } from './value.js';

const FIRST = 'kanmon/instruction/v1';
const TEXT_LIFE = 300000; /* ms from the text's own time to its record */
const LIFE = 86400000; /* ms from the record to the call */
const GRACE = 2000; /* it is judged a moment before its record has a time */

/* The lines, in their order; `?` may be missing. */
const LINES = ('origin=origin client=word what=word token=word rule?=word key-label?=value key-id?=value mechanism?=word ' +
	'parameters?=value file-len?=number file-sha256?=hash purpose=value nonce=hash time=time').split(' ').map((row) => {
	const [key, kind] = row.split('=');
	return { key: key.replace('?', ''), kind, optional: key.endsWith('?') };
});

const KINDS = {
	origin: (value) => /^[^ +]+$/.test(value) && isValue(value, 255),
	word: (value) => /^[A-Za-z0-9._-]{1,64}$/.test(value),
	value: (value) => isValue(value, 1024),
	number: (value) => number(value) !== null,
	hash: (value) => { unb64(value, 32); return true; },
	time: (value) => timeOf(value) !== null,
};

/* Calls that each kind may lead to. */
const CALLS = {
	generate: ['C_GenerateKeyPair', 'C_GenerateKey'],
	destroy: ['C_DestroyObject'],
	window: ['window'],
	sign: ['C_Sign', 'C_SignFinal', 'C_SignMessage', 'C_SignMessageNext', 'C_SignRecover'],
};

/* Sizes and curves of keys that can be asked for: what a template says of them. */
const PARAMETERS = {
	2048: ['CKA_MODULUS_BITS', 2048], 3072: ['CKA_MODULUS_BITS', 3072], 4096: ['CKA_MODULUS_BITS', 4096],
	'P-256': ['CKA_EC_PARAMS', '06082a8648ce3d030107'], 'P-384': ['CKA_EC_PARAMS', '06052b81040022'], 'P-521': ['CKA_EC_PARAMS', '06052b81040023'],
	Ed25519: ['CKA_EC_PARAMS', '130c656477617264733235353139'],
};

/** The index of the action that an intent names; null: none. */
export function instructionOf(intent) {
	const id = get(intent, 'application', 'id');
	return typeof id === 'string' && id.startsWith('action ') ? number(id.slice('action '.length)) : null;
}

/* Map of the lines of a text. */
function readText(text) {
	const lines = text.split('\n');
	const said = new Map();

	need(lines.shift() === FIRST && lines.pop() === '', 'instruct.form');
	for (const { key, kind, optional } of LINES) {
		const value = lines[0]?.startsWith(`${key} `) ? lines.shift().slice(key.length + 1) : null;
		need(value === null ? optional : KINDS[kind](value), 'instruct.form');
		if (value !== null)
			said.set(key, value);
	}
	need(lines.length === 0, 'instruct.form');
	return said;
}

/* It may be asked for: by an operator of that client, which sees that token, and whole for its kind. */
function checkText(said, signer, policy) {
	const client = policy.clients.find((one) => one.name === said.get('client'));
	const what = said.get('what');

	need(said.get('origin') === policy.origin && Object.hasOwn(CALLS, what) && client?.operators.includes(signer) === true &&
		client.tokens.includes(said.get('token')) && (said.has('key-label') || said.has('key-id')) &&
		(what !== 'sign' || (said.has('file-sha256') && said.has('mechanism'))) && (what !== 'window' || said.has('rule')), 'instruct.may');
}

/**
 * An `instruct` action under the policy in force: {i, t, leaf, name, said: Map of its lines, policy: its hash}. Bad('instruct.*') where it is
 * not signed by the person that it names, or says what it may not.
 */
export async function judgeInstruct(record, policy) {
	const actor = get(record.body, 'actor', 'name');
	const note = parseNote(get(record.body, 'auth', 'note'), NOTE_IN_RECORD_MAX);
	const said = readText(note.text);
	const made = timeOf(said.get('time'));
	const signers = await evidenceOf(note, policy.people, policy.places);

	need(signers.length === 1 && note.lines.length === 1 && signers[0].name === actor, 'instruct.signer', { name: actor ?? '' });
	need(record.t >= made && record.t - GRACE <= made + TEXT_LIFE, 'instruct.old');
	checkText(said, actor, policy);
	return { i: record.i, t: record.t, leaf: b64(record.leaf), name: actor, said, policy: policy.sha256 };
}

/* ---- the call ------------------------------------------------------------------------------------------------------ */

/* A line is what the records say; one that is missing says nothing. */
const agrees = (said, key, value) => !said.has(key) || (typeof value === 'string' && said.get(key) === escaped(value));

/* Bytes of a template in hex: text where they can be, else base64. */
const idOf = (value) => (typeof value === 'string' ? hex(utf8(value)) : get(value, 'b64') === undefined ? undefined : hex(unb64(value.b64)));

/* The key that is used; of a pair that is made each half, as its template names it. */
function keysOf(call, what) {
	if (what !== 'generate')
		return [get(call, 'key') ?? {}];
	const halves = Object.values(get(call, 'template') ?? {});
	return halves.length === 0 ? [{}] : halves.map((half) => ({ label: get(half, 'CKA_LABEL'), id: idOf(get(half, 'CKA_ID')) }));
}

/* A template says the size, or the curve, and none says another one. */
function isOf(said, call) {
	const wanted = Object.hasOwn(PARAMETERS, said.get('parameters') ?? '') ? PARAMETERS[said.get('parameters')] : null;
	const halves = Object.values(get(call, 'template') ?? {});
	const found = halves.flatMap((half) => [['CKA_MODULUS_BITS', get(half, 'CKA_MODULUS_BITS')], ['CKA_EC_PARAMS', idOf(get(half, 'CKA_EC_PARAMS'))]])
		.filter(([, value]) => value !== undefined);

	return !said.has('parameters') || (wanted !== null && said.get('what') === 'generate' && found.length > 0 &&
		found.every(([name, value]) => name === wanted[0] && value === wanted[1]));
}

const isOver = (said, data) => !said.has('file-sha256') || (get(data, 'sha256') === said.get('file-sha256') &&
	(!said.has('file-len') || get(data, 'len') === number(said.get('file-len'))));

/** Names of what an intent (its body, at the time `t`) asks for otherwise than the instruction wants. */
export function differs({ said, t: since, policy: under }, call, t, policy) {
	const token = policy.tokens.find((line) => line.name === said.get('token'));
	const keys = keysOf(call, said.get('what'));
	const fits = [
		['time', t - GRACE <= since + LIFE],
		['policy', under === policy.sha256],
		['client', agrees(said, 'client', get(call, 'requester', 'name'))],
		['what', CALLS[said.get('what')].includes(get(call, 'op'))],
		['token', token !== undefined && token.label === get(call, 'key', 'token') &&
			(token.serial === undefined || token.serial === null || token.serial === get(call, 'key', 'serial'))],
		['key-label', keys.every((key) => agrees(said, 'key-label', key.label))],
		['key-id', keys.every((key) => agrees(said, 'key-id', key.id))],
		['mechanism', agrees(said, 'mechanism', get(call, 'mech', 'name'))],
		['parameters', isOf(said, call)],
		['rule', agrees(said, 'rule', get(call, 'window', 'rule'))],
		['file-sha256', isOver(said, get(call, 'in'))],
	];

	return fits.filter(([, ok]) => !ok).map(([name]) => name);
}
