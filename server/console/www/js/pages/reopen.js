/*
 * A token that an anomaly closed, and its reopening: a text (kanmon/reopen/v1, docs/statements.md 8) made here, of the
 * anomaly's record as this browser proved it, which the policy's quorum signs.
 */
import { get } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { el, facts } from '../dom.js';
import { noteText, readPolicy, relyingPartyOf, roleOf } from '../policy.js';
import { placedRecord } from '../proof.js';
import { utcShort } from '../time.js';
import { kept } from '../trust.js';
import { Bad } from '../verify/bytes.js';
import { verdictMark } from '../verdict.js';
import { available } from '../webauthn.js';
import { reason as inWords, t } from '../words.js';
import { draftCards, REOPEN, sayOutcome } from './drafts.js';
import { SigningDialog } from './vote.js';

/* {record, words: null}, or {record: null, words: why it does not hold}. */
async function anomalyOf(stance) {
	if (kept() === null)
		return { record: null, words: t('verify.notrust') };
	try {
		const record = await placedRecord(stance.anomaly, kept());
		return record.type === 'anomaly' ? { record, words: null } : { record: null, words: inWords('place.about', { record: stance.anomaly }) };
	} catch (error) {
		if (!(error instanceof Bad))
			throw error;
		return { record: null, words: inWords(error.why, error.params) };
	}
}

async function textOf(policy, token, anomaly, reason) {
	return `kanmon/reopen/v1\norigin ${policy.head.origin}\npolicy ${policy.head.version} ${b64(await sha256(policy.text))}\ntoken ${token}\n` +
		`anomaly ${anomaly.i} ${b64(anomaly.leaf)}\nreason ${reason}\n`;
}

function openReopening(app, policy, token, anomaly, done) {
	new SigningDialog({
		title: t('drafts.reopen', token), reason: true, path: 'drafts', rpId: relyingPartyOf(policy, location),
		words: [el('p', {}, t('reopen.how')), facts([[t('reopen.anomaly'), `${anomaly.body.what}: ${anomaly.body.detail}`], [t('policy.record'), String(anomaly.i)]])],
	}, (reason) => textOf(policy, token, anomaly, reason), async (answer) => {
		sayOutcome(app, answer);
		await done();
	}).open();
}

async function stanceCard(app, policy, [token, stance], done) {
	const { record, words } = await anomalyOf(stance);
	const role = roleOf(policy, 'policy');
	const may = record !== null && role.persons.includes(app.session.name);

	return el('section', { class: 'card closed', 'aria-label': token }, el('h2', {}, t('reopen.closed', token)),
		record === null ? el('p', { class: 'problem' }, words)
			: facts([[t('reopen.anomaly'), `${record.body.what}: ${record.body.detail}`], [t('instruction.time'), utcShort(record.t)],
				[t('policy.record'), [String(record.i), '  ', verdictMark('ok')]], [t('reopen.role'), t('policy.role.of', role.least, role.persons.join(', '))]]),
		may ? el('div', { class: 'buttons' }, el('button', { type: 'button', class: 'reopen', disabled: !available(),
			onclick: () => openReopening(app, policy, token, record, done) }, t('reopen.begin'))) : el('p', { class: 'quiet' }, t('reopen.who')));
}

/* Cards of tokens that are closed, and of texts that reopen one. `stances`: of GET health. */
export async function reopenCards(app, stances, done) {
	const { note } = await get('policy');
	const policy = readPolicy(noteText(note));
	const [drafts, ...cards] = await Promise.all([draftCards(app, [REOPEN], policy, done),
		...Object.entries(stances).map((entry) => stanceCard(app, policy, entry, done))]);

	return [...cards, ...drafts];
}
