/* Operations and files, judged by js/verify against what this browser keeps of the ledger (trust.js). */
import { ApiError, get, query } from './api.js';
import { kept } from './trust.js';
import { b64, Bad, unb64 } from './verify/bytes.js';
import { readCheckpoint } from './verify/note.js';
import { parseRecord } from './verify/record.js';
import { includes } from './verify/tree.js';
import { parseTrust, pinnedTrust } from './verify/trust.js';
import { verifyBundle } from './verify/verdict.js';
import { reason, t } from './words.js';

const trustOf = (trust) => pinnedTrust({ origin: trust.origin, policySha256: trust.policy, log: trust.log });
const inWords = (error) => (error instanceof Bad ? reason(error.why, error.params) : error.message);

/* {verdict, words, steps, bundle} of a bundle's text; `file`: the text of a trust file, or null. */
export async function judgeText(text, file) {
	const mine = kept();
	let trust;

	if (file === null && mine === null)
		return { verdict: 'unknown', steps: [], words: t('verify.notrust'), bundle: text };
	try {
		trust = file === null ? await trustOf(mine) : await parseTrust(file);
	} catch (error) {
		return { verdict: 'unknown', steps: [], words: inWords(error), bundle: text };
	}
	const outcome = await verifyBundle(text, trust);
	const steps = outcome.steps.map(({ id, verdict, why, params, digests }) => ({ what: id, verdict, why: reason(why, params), digests }));
	const verdict = outcome.verdict === 'verified' ? 'ok' : outcome.verdict === 'failed' ? 'failed' : 'unknown';
	if (verdict === 'ok' && file === null && mine.first === true)
		return { verdict: 'unknown', steps, words: t('check.ledger.first'), bundle: text };
	return { verdict, steps, words: t(`verdict.words.${verdict}`), bundle: text };
}

/* An operation that needed nobody has no bundle: that its record is in the tree of the newest head is what there is to prove. */
async function judgePlace(index, mine) {
	const { note } = await get('ledger/checkpoint');
	const trust = await trustOf(mine);
	const head = await readCheckpoint(note, trust.origin, trust.key);
	const [{ records: [line] }, { path }] = await Promise.all([get(query('ledger/records', { from: index, count: 1 })),
		get(query('ledger/proof', { index, size: head.size }))]);
	const record = await parseRecord(new TextEncoder().encode(line));
	const placed = record.i === index && await includes(record.leaf, index, head, path.map((hash) => unb64(hash, 32)));
	const verdict = placed ? 'ok' : 'failed';

	return { verdict, bundle: null, words: placed ? t('verdict.words.place') : reason('place.tree', { record: index }),
		steps: [{ what: 'place', verdict, why: '', digests: [{ name: t('health.root'), value: b64(head.root) }] }] };
}

/* An operation, as the gateway lists it: its bundle is asked for and judged. What cannot be fetched is `unknown`. */
export async function judgeOperation(operation) {
	const mine = kept();

	try {
		if (operation.class === 'B' && mine !== null)
			return await judgePlace(operation.record, mine);
		const answer = await get(`operations/${operation.record}/bundle`);
		return await judgeText(typeof answer === 'string' ? answer : answer.bundle, null);
	} catch (error) {
		if (error instanceof Bad)
			return { verdict: 'failed', steps: [], words: inWords(error), bundle: null };
		if (!(error instanceof ApiError))
			throw error;
		return { verdict: 'unknown', steps: [], words: error.message, bundle: null };
	}
}
