/* Notes that several people sign one after the other (docs/ledger.md 5): a text, and signature lines under it. */

/* A text alone is a note without any. */
export function splitNote(note) {
	const at = note.lastIndexOf('\n\n');
	const lines = at < 0 ? [] : note.slice(at + 2).split('\n').filter((line) => line !== '');

	if (at < 0 || !lines.every((line) => line.startsWith('— ')))
		return { text: note, lines: [] };
	return { text: note.slice(0, at + 1), lines: lines.map((line) => `${line}\n`) };
}

export const joinNote = ({ text, lines }) => (lines.length === 0 ? text : `${text}\n${lines.join('')}`);
