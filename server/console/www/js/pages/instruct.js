/* The text of an instruction before it is signed: what it says, the PIN that goes with it, and the key's signature. */
import { post } from '../api.js';
import { b64 } from '../bytes.js';
import { el, fill, newId } from '../dom.js';
import { saysOtherwise } from '../instruction.js';
import { readStatement, showStatement } from '../statement.js';
import { kept } from '../trust.js';
import { available, signText } from '../webauthn.js';
import { t } from '../words.js';
import { keyProblem } from './signin.js';

function pinField() {
	const id = newId('pin');
	const input = el('input', { id, type: 'password', autocomplete: 'off', required: true, maxlength: 255, spellcheck: 'false' });

	return { input, node: el('div', { class: 'pin' }, el('label', { for: id }, t('actions.pin')), input, el('p', { class: 'quiet' }, t('actions.pin.how'))) };
}

export class Draft {
	/* `text`: the gateway's; `wish`: {asked, lines, file, whole}, as it was typed. */
	constructor(page, { text, rpId, wish, needsPin }) {
		Object.assign(this, { page, text, rpId, wish, statement: readStatement(text), pin: needsPin ? pinField() : null });
		this.place = el('div', { 'aria-live': 'polite', class: 'answer' });
	}

	draw() {
		const wrong = saysOtherwise(this.statement, this.wish.lines);

		this.button = el('button', { type: 'submit', id: 'sign-instruction', class: 'primary', disabled: wrong.length > 0 || !available() }, t('vote.sign'));
		return el('form', { class: 'card paper', 'aria-labelledby': 'instruction', onsubmit: (event) => {
			event.preventDefault();
			this.sign();
		} }, el('h2', { id: 'instruction', tabindex: '-1' }, t('actions.text')),
		el('p', { class: 'quiet' }, t('actions.text.how')),
		this.wish.whole ? el('p', { class: 'caution' }, t('actions.file.part')) : null,
		this.statement === null ? null : showStatement(this.statement, t('actions.text')),
		wrong.length === 0 ? null : el('p', { class: 'problem', role: 'alert' }, t('actions.otherwise', wrong.join(', '))),
		this.pin?.node, this.place,
		el('div', { class: 'buttons' }, this.button,
			el('button', { type: 'button', class: 'plain', onclick: () => this.page.choose(this.wish.asked.what) }, t('app.cancel'))));
	}

	/* The PIN leaves the field before anything else happens: it is typed for one attempt. */
	takePin() {
		const pin = this.pin?.input.value;

		if (this.pin !== null)
			this.pin.input.value = '';
		return pin;
	}

	async sign() {
		const pin = this.takePin();

		if (kept()?.alarm !== undefined) {
			this.say(t('request.blocked'));
			return;
		}
		this.button.disabled = true;
		fill(this.place, el('p', { class: 'waiting' }, t('vote.waiting')));
		try {
			const assertion = await signText(this.text, this.rpId);
			const { record } = await post('instructions', { text: this.text, assertion, file: this.wish.file === null ? '' : b64(this.wish.file),
				...pin === undefined ? {} : { pin } });
			this.page.app.announce(t('actions.begun', record));
			this.page.app.go(`#/actions/${record}`);
		} catch (error) {
			this.button.disabled = false;
			this.say(keyProblem(error));
		}
	}

	say(words) {
		fill(this.place, el('p', { class: 'problem', role: 'alert' }, words));
	}
}
