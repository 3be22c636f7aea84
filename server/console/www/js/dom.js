/*
 * The only place that makes elements. Text goes in as text: nothing here, and nothing elsewhere, takes markup, so what
 * a gateway, a label or a certificate says cannot become a part of the page.
 */

/* el('a', { class: 'x', href: '#', onclick: f }, 'text', child, null): null and false children are passed over. */
export function el(name, attributes = {}, ...children) {
	const node = document.createElement(name);

	for (const [key, value] of Object.entries(attributes)) {
		if (value === null || value === undefined || value === false)
			continue;
		if (key.startsWith('on'))
			node.addEventListener(key.slice(2), value);
		else
			node.setAttribute(key, value === true ? '' : String(value));
	}
	node.append(...flat(children));
	return node;
}

function flat(children) {
	return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

export function fill(node, ...children) {
	node.replaceChildren(...flat(children));
	return node;
}

/* Fills again, and leaves the focus where it was: on the element of the same id. */
export function refill(node, ...children) {
	const focused = node.contains(document.activeElement) ? document.activeElement.id : '';

	fill(node, ...children);
	if (focused !== '')
		document.getElementById(focused)?.focus({ preventScroll: true });
	return node;
}

let counter = 0;

/* An id that no other element has: for labels and descriptions. */
export function newId(prefix) {
	counter += 1;
	return `${prefix}-${counter}`;
}

/* Rows of [term, description]; a row without description is left out. */
export function facts(rows, attributes = {}) {
	return el('dl', { class: 'facts', ...attributes },
		rows.filter(([, value]) => value !== null && value !== undefined && value !== '')
			.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));
}

/* A file that the browser saves. The address lives until the click is over. */
export function save(name, type, text) {
	const url = URL.createObjectURL(new Blob([text], { type }));
	const link = el('a', { href: url, download: name });

	document.body.append(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}
