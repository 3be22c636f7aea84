/* Operations and files, judged against what this browser keeps of the ledger (trust.js). */
import { ApiError, get } from './api.js';
import { judgeBundle } from './proof/judge.js';
import { kept, readTrust } from './trust.js';
import { t } from './words.js';

/* A bundle's text; `file`: the text of a trust file, or null. */
export async function judgeText(text, file) {
	const trust = file === null ? kept() : readTrust(file);

	if (trust === null)
		return { verdict: 'unknown', steps: [], words: t('verify.notrust'), bundle: text };
	const judged = await judgeBundle(text, trust);
	const verdict = judged.verdict === 'ok' && trust.first === true ? 'unknown' : judged.verdict;
	return { ...judged, verdict, words: verdict === judged.verdict ? t(`verdict.words.${verdict}`) : t('check.ledger.first'), bundle: text };
}

/* The operation of this record: its bundle is asked for and judged. An operation without one is `unknown`. */
export async function judgeRecord(record) {
	try {
		const answer = await get(`operations/${record}/bundle`);
		const judged = await judgeText(typeof answer === 'string' ? answer : answer.bundle, null);
		return judged;
	} catch (error) {
		if (!(error instanceof ApiError))
			throw error;
		return { verdict: 'unknown', steps: [], words: error.message, bundle: null };
	}
}
