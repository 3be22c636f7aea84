/*
 * An operator's instruction (kanmon/instruction/v1, docs/statements.md 8): whether a text says what was typed, and whether
 * what became of it, as the records prove it, is what it says.
 */
import { ApiError } from './api.js';
import { wholeOf } from './issued.js';
import { judgeBundle, placedRecord } from './proof.js';
import { valueOf } from './statement.js';
import { kept } from './trust.js';
import { Bad, equal, need, unb64 } from './verify/bytes.js';
import { instructionOf } from './verify/instructed.js';
import { parseNote } from './verify/note.js';
import { get } from './verify/record.js';
import { sha256b64 } from './verify/sha256.js';
import { reason, t } from './words.js';

const FIRST = 'kanmon/instruction/v1';
/* Lines that the gateway adds; all others are what somebody typed. */
const ADDED = new Set(['origin', 'client', 'nonce', 'time']);

/* ---- before it is signed -------------------------------------------------------------------------------------- */

/*
 * Names of the lines that are not what was typed (`lines`: name to value, '' for none): said otherwise, missing, said
 * twice, or there without having been asked for. `first` stands for the text as a whole.
 */
export function saysOtherwise(statement, lines) {
	if (statement === null || statement.first !== FIRST)
		return [FIRST];
	const keys = statement.lines.map((line) => line.key);
	const strange = keys.filter((key, i) => keys.indexOf(key) !== i || !(key in lines || ADDED.has(key)));
	const wrong = Object.entries(lines).filter(([key, value]) => (valueOf(statement, key) ?? '') !== value).map(([key]) => key);
	const trust = kept();

	if (trust !== null && valueOf(statement, 'origin') !== trust.origin)
		wrong.push('origin');
	return [...new Set([...strange, ...wrong])];
}

/* ---- what became of it ---------------------------------------------------------------------------------------- */

const step = (what, verdict, why, digests = []) => ({ what, verdict, why, digests });

/* The record of the instruction, in the ledger that this browser knows. {i, t, note} */
async function readInstruction(index, trust) {
	const record = await placedRecord(index, trust);
	const note = get(record.body, 'auth', 'note');

	need(record.type === 'action' && record.body.what === 'instruct' && typeof note === 'string', 'instruct.none', { record: index });
	return { i: record.i, t: record.t, note: parseNote(note) };
}

/* The same but for nonce and time: signed again where the call of the first one was lost, it meets what that one asked for. */
const wish = ({ note }) => note.text.replace(/^(nonce|time) .*\n/gm, '');

/* The bundle is about a call that names this very instruction; whether that is what it wants, the bundle's own steps say. */
async function namedStep(instruction, call, trust) {
	const named = instructionOf(call);

	if (named === instruction.i || (named !== null && named < instruction.i && wish(await readInstruction(named, trust)) === wish(instruction)))
		return [];
	return named === null ? [step('named', 'unknown', reason('instruct.unnamed'))] : [step('named', 'failed', reason('instruct.other', { names: 'application' }))];
}

const same = (given) => (given ? ['ok', reason('instruct.given')] : ['failed', reason('instruct.given.other')]);

/* What the gateway gives as the result, held against what the records make: {step, form, bytes, content}; bytes null: none. */
async function resultStep(answer, facts) {
	const made = await wholeOf(facts);
	const given = answer.result === undefined ? null : unb64(answer.result);
	const key = get(facts.ends.findLast((one) => one.body.rv === 0)?.body, 'key', 'spki_sha256');

	if (made !== null) {
		const agreed = given === null || (equal(given, made.bytes) && answer.form === made.form);
		return { ...made, step: step('given', ...same(agreed), [{ name: made.form, value: await sha256b64(made.bytes) }]) };
	}
	if (given === null)
		return { form: answer.form ?? null, bytes: null, content: null, step: step('given', 'none', reason('instruct.given.none')) };
	const hash = await sha256b64(given);
	const agreed = answer.form === 'public-key' && hash === key;
	return { form: 'public-key', bytes: agreed ? given : null, content: null, step: step('given', ...same(agreed), [{ name: 'public key', value: key ?? '' }, { name: 'given', value: hash }]) };
}

const RANK = { none: 0, ok: 1, unknown: 2, failed: 3 };
const worst = (verdicts) => verdicts.reduce((a, b) => (RANK[b] > RANK[a] ? b : a), 'none');

/*
 * All of it: {verdict, words, steps, bundle, text, form, bytes, content, refusals: notes}. `answer`: of GET instructions/N. `text`: the
 * instruction as recorded, null where that is not proven; the others are null while nothing came of it.
 */
export async function judgeInstruction(answer) {
	const trust = kept();
	const nothing = { verdict: 'unknown', steps: [], bundle: null, text: null, form: null, bytes: null, content: null, refusals: [] };

	if (trust === null)
		return { ...nothing, words: t('verify.notrust') };
	let text = null;
	try {
		const instruction = await readInstruction(answer.record, trust);
		text = instruction.note.text;
		const about = answer.request ?? answer.operation;
		if (about === undefined)
			return { ...nothing, text, words: reason('instruct.nothing') };
		const judged = await judgeBundle(about);
		return judged.facts === null ? { ...nothing, ...judged, text } : await judgeRest(answer, instruction, judged, trust);
	} catch (error) {
		if (error instanceof ApiError && error.status === 404)
			return { ...nothing, text, words: reason('instruct.nothing') };
		if (!(error instanceof Bad))
			throw error;
		return { ...nothing, text, verdict: 'failed', words: reason(error.why, error.params) };
	}
}

async function judgeRest(answer, instruction, judged, trust) {
	const { facts } = judged;
	const { step: given, ...result } = await resultStep(answer, facts);
	const steps = [...await namedStep(instruction, facts.call, trust), ...judged.steps, given];
	const verdict = worst([judged.verdict, ...steps.filter((one) => !judged.steps.includes(one)).map((one) => one.verdict)]);

	return { verdict, steps, bundle: judged.bundle, text: instruction.note.text, refusals: facts.refusals, ...result,
		words: verdict === judged.verdict ? judged.words : t(`verdict.words.${verdict}`) };
}
