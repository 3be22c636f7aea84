/* Operations and files, judged against what this browser keeps of the ledger (trust.js). */
import { ApiError, get, query } from './api.js';
import { headOf, readRecord, Wrong } from './proof/bundle.js';
import { judgeBundle } from './proof/judge.js';
import { kept, readTrust } from './trust.js';
import { b64, unb64 } from './verify/bytes.js';
import { includes, leafHash } from './verify/tree.js';
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

/* An operation that needed nobody has no bundle: that its record is in the tree of the newest head is what there is to prove. */
async function judgePlace(record, trust) {
	const { note } = await get('ledger/checkpoint');
	const head = await headOf(note, trust);
	const [{ records: [line] }, { path }] = await Promise.all([get(query('ledger/records', { from: record, count: 1 })),
		get(query('ledger/proof', { index: record, size: head.size }))]);
	const placed = await includes(await leafHash(line), record, head, path.map((hash) => unb64(hash, 32)));
	const verdict = placed && readRecord(line).i === record ? 'ok' : 'failed';

	return { verdict, bundle: null, words: verdict === 'ok' ? t('verdict.words.place') : t('proof.notree', record),
		steps: [{ what: 'place', verdict, why: '', digests: [{ name: t('health.root'), value: b64(head.root) }] }] };
}

/* An operation, as the gateway lists it: its bundle is asked for and judged. What cannot be fetched is `unknown`. */
export async function judgeOperation(operation) {
	const trust = kept();

	try {
		if (operation.class === 'B' && trust !== null)
			return await judgePlace(operation.record, trust);
		const answer = await get(`operations/${operation.record}/bundle`);
		return await judgeText(typeof answer === 'string' ? answer : answer.bundle, null);
	} catch (error) {
		if (error instanceof Wrong)
			return { verdict: 'failed', steps: [], words: t(error.why, ...error.values), bundle: null };
		if (!(error instanceof ApiError))
			throw error;
		return { verdict: 'unknown', steps: [], words: error.message, bundle: null };
	}
}
