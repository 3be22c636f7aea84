/* Language and colours: kept in this browser, nowhere else. */
import { el, newId } from './dom.js';
import { current, languages, t, use } from './words.js';

const themes = ['auto', 'light', 'dark'];

const kept = (name) => localStorage.getItem(`kanmon.${name}`);

export function pickLanguage() {
	use(kept('language') ?? (navigator.language.startsWith('ja') ? 'ja' : 'en'));
}

export function applySettings() {
	const theme = kept('theme');

	document.documentElement.lang = current();
	if (theme === 'light' || theme === 'dark')
		document.documentElement.dataset.theme = theme;
	else
		delete document.documentElement.dataset.theme;
}

function choice(name, label, options, value, changed) {
	const id = newId(name);

	return el('div', {}, el('label', { for: id }, label),
		el('select', { id, onchange: (event) => {
			localStorage.setItem(`kanmon.${name}`, event.target.value);
			changed();
		} }, options.map(([key, text]) => el('option', { value: key, selected: key === value }, text))));
}

export function settingsMenu(redraw) {
	return el('div', { class: 'settings' },
		choice('language', t('app.language'), languages, current(), () => {
			pickLanguage();
			redraw();
		}),
		choice('theme', t('app.theme'), themes.map((name) => [name, t(`app.theme.${name}`)]), kept('theme') ?? 'auto', applySettings));
}
