/* Tables that stay tables for screen readers where a narrow screen shows each row as a block. */
import { el } from './dom.js';

/* columns: [{name, label, class?}]; rows: [{id?, cells: {name: node or text}}]. */
export function table(caption, columns, rows) {
	return el('table', { class: 'table', role: 'table' }, el('caption', { class: 'unseen' }, caption),
		el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, columns.map((column) =>
			el('th', { role: 'columnheader', scope: 'col', class: column.class }, column.label)))),
		el('tbody', { role: 'rowgroup' }, rows.map((row) => el('tr', { role: 'row', id: row.id, class: row.class }, columns.map((column) =>
			el('td', { role: 'cell', class: column.class, 'data-label': column.label }, row.cells[column.name] ?? ''))))));
}

/* A hash: short for the eye, whole for the clipboard and for who asks. */
export function hash(value) {
	if (value === null || value === undefined || value === '')
		return null;
	return el('span', { class: 'mono hash whole', title: value }, value);
}
