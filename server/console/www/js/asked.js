/*
 * The instruction of an operator that a request answers, for those who decide on it: who signed what, and whether the call
 * is the one that it wants. Worked out here, from the record that the call names.
 */
import { ApiError } from './api.js';
import { el } from './dom.js';
import { noteText } from './policy.js';
import { placedRecord } from './proof.js';
import { readStatement, showStatement } from './statement.js';
import { kept } from './trust.js';
import { Bad, need, utf8 } from './verify/bytes.js';
import { differs, instructionOf, judgeInstruct } from './verify/instructed.js';
import { parseNote } from './verify/note.js';
import { parsePolicy } from './verify/policy.js';
import { get, parseRecord } from './verify/record.js';
import { reason, t } from './words.js';

async function judge(index, intent, policyText) {
	const record = await placedRecord(index, kept());
	need(record.type === 'action' && get(record.body, 'what') === 'instruct' && record.i < intent.i, 'instruct.none', { record: index });
	const policy = await parsePolicy(policyText);
	const instruction = await judgeInstruct(record, policy);
	const names = differs(instruction, intent.body, intent.t, policy);
	need(names.length === 0, 'instruct.other', { names: names.join(', ') });
	return { name: instruction.name, text: parseNote(record.body.auth.note).text };
}

/** {index, check: a row of checks.js, name, text} of GET requests/N; null: the call names no instruction. `text` null: it does not stand. */
export async function askedBy(answer) {
	const intent = await parseRecord(utf8(answer.intent.line));
	const index = instructionOf(intent.body);
	const none = { index, name: null, text: null };

	if (index === null)
		return null;
	if (kept() === null)
		return { ...none, check: { verdict: 'unknown', words: t('verify.notrust') } };
	try {
		const found = await judge(index, intent, noteText(answer.policy));
		return { index, ...found, check: { verdict: 'ok', words: t('check.asked', found.name, index) } };
	} catch (error) {
		if (error instanceof Bad)
			return { ...none, check: { verdict: 'failed', words: reason(error.why, error.params) } };
		if (!(error instanceof ApiError))
			throw error;
		return { ...none, check: { verdict: 'unknown', words: t('check.asked.later', index) } };
	}
}

/** What the operator signed, to be read beside the statement; null where there is nothing to read. */
export function askedCard(asked) {
	const said = asked === null || asked.text === null ? null : readStatement(asked.text);

	return said === null ? null : el('section', { class: 'card', 'aria-labelledby': 'asked' },
		el('h2', { id: 'asked' }, t('request.asked', asked.name)),
		el('p', { class: 'quiet' }, t('request.asked.how', asked.index)),
		showStatement(said, t('request.asked', asked.name)));
}
