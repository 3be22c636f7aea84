/*
 * What this browser works out by itself about a request that waits, from the bytes that came: each row is computed, and
 * says ok, failed, or that it cannot be known here.
 */
import { ApiError } from './api.js';
import { b64, fromB64, sha256 } from './bytes.js';
import { noteText } from './policy.js';
import { judgeBundle } from './proof.js';
import { valueOf } from './statement.js';
import { kept, needOurs } from './trust.js';
import { Bad, unb64, utf8 } from './verify/bytes.js';
import { includes, leafHash } from './verify/tree.js';
import { reason, t } from './words.js';

const same = (a, b) => (a === b ? 'ok' : 'failed');

async function policyCheck(answer, statement) {
	const text = noteText(answer.policy);
	const hash = b64(await sha256(text));

	return { verdict: same(valueOf(statement, 'policy')?.split(' ')[1], hash), words: t('check.policy') };
}

async function inputCheck(answer, statement) {
	if (valueOf(statement, 'input-sha256') === 'none')
		return null;
	if (answer.blob === undefined)
		return { verdict: 'unknown', words: t('check.input.none') };
	return { verdict: same(valueOf(statement, 'input-sha256'), b64(await sha256(fromB64(answer.blob)))), words: t('check.input') };
}

/*
 * The record is in the tree of the head that the statement names, by the proof that came with it; and that head is of the
 * ledger that this browser keeps.
 */
async function headCheck(answer, statement) {
	const [size, root] = valueOf(statement, 'head').split(' ');
	const head = { size: Number(size), root: unb64(root, 32) };
	const inTree = await includes(await leafHash(utf8(answer.intent.line)), answer.intent.i, head, answer.proof.map((hash) => unb64(hash, 32)));

	try {
		if (inTree)
			await needOurs(head);
	} catch (error) {
		if (error instanceof Bad)
			return { verdict: 'failed', words: reason(error.why, error.params) };
		if (!(error instanceof ApiError))
			throw error;
		return { verdict: 'unknown', words: t('check.head.ours') };
	}
	return { verdict: inTree ? 'ok' : 'failed', words: t('check.head') };
}

/* Who approved so far is what the ledger has of their signatures, and not the gateway's word. */
async function votesCheck(answer) {
	const { id, have } = answer.request;

	if (have.length === 0 || kept() === null)
		return null;
	try {
		const { facts, steps } = await judgeBundle(id);
		if (facts === null || steps.some((step) => step.what === 'votes' && step.verdict === 'failed'))
			return { verdict: 'failed', words: t('check.votes') };
		const proven = have.every((name) => facts.approvedBy.includes(name));
		return { verdict: proven ? 'ok' : 'unknown', words: t(proven ? 'check.votes' : 'check.votes.later') };
	} catch (error) {
		if (error instanceof Bad)
			return { verdict: 'failed', words: reason(error.why, error.params) };
		if (!(error instanceof ApiError))
			throw error;
		return { verdict: 'unknown', words: t('check.votes.later') };
	}
}

/* The ledger as a whole: what trust.js found when it looked last. */
function ledgerCheck() {
	const trust = kept();

	if (trust?.alarm !== undefined)
		return { verdict: 'failed', words: t(`trust.alarm.${trust.alarm.what}`) };
	return trust === null || trust.first === true ? { verdict: 'unknown', words: t('check.ledger.first') } : { verdict: 'ok', words: t('check.ledger') };
}

async function leafCheck(answer, statement) {
	return { verdict: same(valueOf(statement, 'request-leaf'), b64(await leafHash(utf8(answer.intent.line)))), words: t('check.leaf') };
}

export async function checksOf(answer, statement) {
	if (statement === null)
		return [];
	const rows = await Promise.all([ledgerCheck, leafCheck, headCheck, inputCheck, policyCheck, votesCheck].map((check) => check(answer, statement)));
	return rows.filter((row) => row !== null);
}
