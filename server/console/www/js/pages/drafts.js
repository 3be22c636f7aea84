/*
 * Texts that several people sign (kept by the gateway, `drafts`): each person reads one on their own screen and signs what
 * stands there. The last signature that is needed puts it into the ledger.
 */
import { get, post } from '../api.js';
import { b64, sha256 } from '../bytes.js';
import { lineChanges } from '../diff.js';
import { el, facts } from '../dom.js';
import { splitNote } from '../note.js';
import { readPolicy, relyingPartyOf } from '../policy.js';
import { readStatement, showStatement, valueOf } from '../statement.js';
import { utcShort } from '../time.js';
import { available } from '../webauthn.js';
import { t } from '../words.js';
import { keyProblem } from './signin.js';
import { SigningDialog } from './vote.js';

export const POLICY = 'kanmon/policy/v1', REOPEN = 'kanmon/reopen/v1', VETO = 'kanmon/veto/v1';
const kindOf = (text) => text.slice(0, text.indexOf('\n'));
const places = { [POLICY]: 'policy', [VETO]: 'policy', [REOPEN]: 'health' };

/* Lines that go and lines that come, against the policy in force; that it continues that one is checked here. */
export async function policyChanges(text, current) {
	const next = readPolicy(text);
	const continues = next.head.previous === b64(await sha256(current.text)) && next.head.origin === current.head.origin;

	return [continues ? null : el('p', { class: 'problem', role: 'alert' }, t('drafts.other')),
		el('ol', { class: 'diff', 'aria-label': t('drafts.changes'), tabindex: '0' }, lineChanges(current.text, text).map(({ sign, line }) =>
			el('li', { class: sign === '+' ? 'comes' : 'goes' }, el('span', { class: 'sign' }, sign === '+' ? '+' : '−'), el('code', {}, line)))),
		el('details', {}, el('summary', {}, t('drafts.whole')), el('pre', { class: 'rule', tabindex: '0' }, text))];
}

export function titleOf(text) {
	switch (kindOf(text)) {
	case POLICY:
		return t('drafts.policy', readPolicy(text).head.version ?? '?');
	case REOPEN:
		return t('drafts.reopen', valueOf(readStatement(text), 'token') ?? '?');
	case VETO:
		return t('drafts.veto', valueOf(readStatement(text), 'policy')?.split(' ')[0] ?? '?');
	default:
		return kindOf(text);
	}
}

/* What came of a signature: it is in the ledger, or waits for others. */
export function sayOutcome(app, answer) {
	app.announce(answer.record === undefined ? t('drafts.waits', answer.lacks ?? '') : t('drafts.taken', answer.record));
}

/* Asks for one more signature under a note, over the text that is shown. */
export function openSigning(app, current, note, done) {
	const { text } = splitNote(note);

	new SigningDialog({
		title: titleOf(text), path: 'drafts', note, rpId: relyingPartyOf(current, location),
		words: [el('p', {}, t('drafts.sign.how'))],
	}, () => text, async (answer) => {
		sayOutcome(app, answer);
		await done();
	}).open();
}

async function card(app, current, draft, done) {
	const { text } = splitNote(draft.note);
	const { name } = app.session;
	const mine = draft.signed_by.includes(name);
	const place = el('div', { class: 'answer', 'aria-live': 'polite' });
	const statement = kindOf(text) === POLICY ? null : readStatement(text);
	async function drop() {
		try {
			await post(`drafts/${draft.draft.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}/drop`);
			await done();
		} catch (error) {
			place.replaceChildren(el('p', { class: 'problem', role: 'alert' }, keyProblem(error)));
		}
	}

	return el('section', { class: 'card draft', 'aria-label': titleOf(text) }, el('h2', {}, titleOf(text)),
		facts([[t('drafts.begun'), `${draft.begun_by}, ${utcShort(draft.t)}`], [t('drafts.signed'), draft.signed_by.join(', ') || t('app.none')],
			[t('drafts.lacks'), draft.lacks]]),
		statement === null ? await policyChanges(text, current) : showStatement(statement, titleOf(text)), place,
		mine ? el('p', { class: 'quiet' }, t('drafts.mine')) : null,
		el('div', { class: 'buttons' },
			mine ? null : el('button', { type: 'button', class: 'primary sign-draft', disabled: !available(),
				onclick: () => openSigning(app, current, draft.note, done) }, t('vote.sign')),
			mine || draft.begun_by === name ? el('button', { type: 'button', class: 'plain drop-draft', onclick: drop }, t('drafts.drop')) : null));
}

/* A card for each of these kinds that waits. `current`: the policy in force, read; `done()`: something changed. */
export async function draftCards(app, kinds, current, done) {
	const { drafts } = await get('drafts');

	return Promise.all(drafts.filter(({ note }) => kinds.includes(kindOf(note))).map((draft) => card(app, current, draft, done)));
}

/* For the list of requests: what else waits for this person's signature. */
export async function draftLinks(app) {
	const { drafts } = await get('drafts');
	const waiting = drafts.filter((draft) => !draft.signed_by.includes(app.session.name) && places[kindOf(draft.note)] !== undefined);

	return waiting.length === 0 ? null : el('section', { class: 'waiting-texts', 'aria-label': t('drafts.title') }, el('h2', {}, t('drafts.title'), ' ',
		el('span', { class: 'count' }, String(waiting.length))),
	el('ul', { class: 'changes' }, waiting.map((draft) => el('li', {}, el('a', { href: `#/${places[kindOf(draft.note)]}` }, titleOf(splitNote(draft.note).text)),
		' ', el('span', { class: 'under' }, t('drafts.by', draft.begun_by))))));
}
