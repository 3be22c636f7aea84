/*
 * What this browser works out by itself about a request that waits, from the bytes that came: each row is computed, and
 * says ok, failed, or that it cannot be known here.
 */
import { b64, fromB64, sha256 } from './bytes.js';
import { noteText } from './policy.js';
import { valueOf } from './statement.js';
import { kept } from './trust.js';
import { unb64, utf8 } from './verify/bytes.js';
import { includes, leafHash } from './verify/tree.js';
import { t } from './words.js';

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

/* The record is in the tree of the head that the statement names, by the proof that came with it. */
async function headCheck(answer, statement) {
	const [size, root] = valueOf(statement, 'head').split(' ');
	const inTree = await includes(await leafHash(utf8(answer.intent.line)), answer.intent.i, { size: Number(size), root: unb64(root, 32) },
		answer.proof.map((hash) => unb64(hash, 32)));

	return { verdict: inTree ? 'ok' : 'failed', words: t('check.head') };
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
	const rows = await Promise.all([ledgerCheck, leafCheck, headCheck, inputCheck, policyCheck].map((check) => check(answer, statement)));
	return rows.filter((row) => row !== null);
}
