/* What the gateway tells unasked: one stream for the page, handed to whoever asked to hear. */

let source = null;
const hearers = new Set();

export function listen() {
	if (source !== null)
		return;
	source = new EventSource('/api/v1/events');
	source.addEventListener('message', (event) => {
		const told = JSON.parse(event.data);
		for (const hearer of [...hearers])
			hearer(told);
	});
}

export function stopListening() {
	source?.close();
	source = null;
}

/*
 * Until the page is left. Several events in a moment are one call: pages read anew, they do not count events. `kinds`: of
 * these alone (their member `event`).
 */
export function onChange(signal, hear, kinds = null) {
	let due = 0;
	const hearer = (told) => {
		if (kinds !== null && !kinds.includes(told.event))
			return;
		clearTimeout(due);
		due = setTimeout(hear, 150);
	};

	hearers.add(hearer);
	signal.addEventListener('abort', () => {
		hearers.delete(hearer);
		clearTimeout(due);
	});
}
