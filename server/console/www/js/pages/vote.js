/* Approve, reject, veto: one dialog, and a security key that signs the text on the screen. */
import { post } from '../api.js';
import { utf8 } from '../bytes.js';
import { el, fill, newId } from '../dom.js';
import { relyingPartyOf } from '../policy.js';
import { turned, valueOf } from '../statement.js';
import { kept } from '../trust.js';
import { asValue } from '../value.js';
import { available, signText } from '../webauthn.js';
import { t } from '../words.js';
import { keyProblem } from './signin.js';

const REASON_MAX_BYTES = 1024;

/* What somebody typed as a reason: {reason}, a value of a statement, or what is {wrong} with it. */
function reasonOf(typed) {
	const reason = asValue(typed);

	if (reason === '')
		return { wrong: t('vote.reason.needed') };
	if (utf8(reason).length > REASON_MAX_BYTES)
		return { wrong: t('vote.reason.long') };
	return { reason };
}

function reasonField(id, wrongId) {
	return [el('label', { for: id }, t('vote.reason')),
		el('textarea', { id, rows: 3, required: true, maxlength: REASON_MAX_BYTES, 'aria-describedby': wrongId })];
}

/*
 * Asks, then has the key sign `text(reason)` (a promise of it will do), then calls `done(answer)`. `asks`: {title, code?,
 * words: nodes, reason: bool, class, rpId, path: `notes` or another, note: what is handed in with the signature where it is
 * not the text alone}. What is shown beside it is the page's business.
 */
export class SigningDialog {
	constructor(asks, text, done) {
		const titleId = newId('vote'), wrongId = newId('wrong');

		Object.assign(this, { asks, text, done });
		this.place = el('div', { id: wrongId, class: 'answer', 'aria-live': 'polite' });
		this.sign = el('button', { type: 'submit', class: `primary ${asks.class ?? ''}` }, t('vote.sign'));
		this.reason = asks.reason ? reasonField(newId('reason'), wrongId) : null;
		this.node = el('dialog', { 'aria-labelledby': titleId },
			el('form', { method: 'dialog', novalidate: true, onsubmit: (event) => {
				event.preventDefault();
				this.submit().catch((error) => this.fail(error));
			} },
			el('h2', { id: titleId }, asks.title),
			asks.code === undefined ? null : el('p', { class: 'code small' }, asks.code),
			asks.words, this.reason, this.place,
			el('div', { class: 'buttons' }, this.sign,
				el('button', { type: 'button', class: 'plain', onclick: () => this.node.close() }, t('app.cancel')))));
		this.node.addEventListener('close', () => this.node.remove());
	}

	open() {
		document.body.append(this.node);
		this.node.showModal();
	}

	say(words) {
		fill(this.place, el('p', { class: 'problem', role: 'alert' }, words));
	}

	fail(error) {
		this.sign.disabled = false;
		this.say(keyProblem(error));
	}

	async submit() {
		const { reason = null, wrong } = this.reason === null ? {} : reasonOf(this.reason[1].value);

		if (wrong !== undefined) {
			this.say(wrong);
			this.reason[1].focus();
			return;
		}
		if (kept()?.alarm !== undefined) {
			this.say(t('request.blocked'));
			return;
		}
		this.sign.disabled = true;
		fill(this.place, el('p', { class: 'waiting' }, t('vote.waiting')));
		const text = await this.text(reason);
		const answer = await post(this.asks.path ?? 'notes', { text: this.asks.note ?? text, assertion: await signText(text, this.asks.rpId) });
		this.node.close();
		await this.done(answer);
	}
}

function openVote(page, decision) {
	const { statement } = page;

	new SigningDialog({
		title: t(`vote.title.${decision}`, page.id), code: page.code, reason: decision !== 'approve', class: decision,
		rpId: relyingPartyOf(page.policy, location),
		words: [el('p', {}, t(`vote.${decision}.how`, statement.lines.length + 1)),
			valueOf(statement, 'per') === null ? null : el('p', { class: 'caution' }, t('vote.window.how')),
			valueOf(statement, 'activation-key') === null ? null : el('p', { class: 'caution' }, t('vote.shares'))],
	}, (reason) => (decision === 'approve' ? page.text : turned(page.text, decision, reason)), async (answer) => {
		await page.changed();
		page.said(answer.check);
	}).open();
}

export function voteButtons(page, ways, failed) {
	const buttons = [];
	const button = (decision) => el('button', {
		type: 'button', id: `do-${decision}`, class: decision === 'approve' ? 'primary' : decision, disabled: failed || !available(),
		onclick: () => openVote(page, decision),
	}, t(`request.${decision}`));

	if (ways.vote)
		buttons.push(button('approve'), button('reject'));
	if (ways.veto)
		buttons.push(button('veto'));
	return buttons.length === 0 ? null : el('div', { class: 'buttons' }, buttons,
		available() ? null : el('p', { class: 'quiet' }, t('signin.no_key')));
}
