/*
 * What this browser works out by itself about a request that waits, from the bytes that came: each row is computed, and
 * says ok, failed, or that it cannot be known here.
 */
import { b64, fromB64, sha256 } from './bytes.js';
import { noteText } from './policy.js';
import { valueOf } from './statement.js';
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

async function leafCheck(answer, statement) {
	const line = new TextEncoder().encode(answer.intent.line);
	const bytes = new Uint8Array(line.length + 1);

	bytes.set(line, 1);
	return { verdict: same(valueOf(statement, 'request-leaf'), b64(await sha256(bytes))), words: t('check.leaf') };
}

export async function checksOf(answer, statement) {
	if (statement === null)
		return [];
	const rows = await Promise.all([leafCheck, inputCheck, policyCheck].map((check) => check(answer, statement)));
	return rows.filter((row) => row !== null);
}
