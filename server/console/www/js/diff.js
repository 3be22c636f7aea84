/*
 * How one text differs from another, line by line, worked out here: what stands beside a text that people sign must not be
 * the word of the server that sent it.
 */
const CELLS_MAX = 4e6;

/* Lengths of the longest common subsequences of the tails of both. */
function tails(before, after) {
	const width = after.length + 1;
	const longest = new Uint16Array((before.length + 1) * width);

	for (let i = before.length - 1; i >= 0; i--)
		for (let j = after.length - 1; j >= 0; j--)
			longest[i * width + j] = before[i] === after[j] ? longest[(i + 1) * width + j + 1] + 1
				: Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
	return (i, j) => longest[i * width + j];
}

function middle(before, after) {
	const found = [];
	let i = 0, j = 0;

	if (before.length * after.length > CELLS_MAX)
		return [...before.map((line) => ({ sign: '-', line })), ...after.map((line) => ({ sign: '+', line }))];
	const longest = tails(before, after);
	while (i < before.length || j < after.length)
		if (i < before.length && j < after.length && before[i] === after[j]) {
			i++;
			j++;
		} else if (j === after.length || (i < before.length && longest(i + 1, j) >= longest(i, j + 1))) {
			found.push({ sign: '-', line: before[i++] });
		} else {
			found.push({ sign: '+', line: after[j++] });
		}
	return found;
}

/* [{sign: '-' or '+', line}], in order; lines that both have are left out. */
export function lineChanges(before, after) {
	const [old, now] = [before.split('\n'), after.split('\n')];
	let head = 0, tail = 0;

	while (head < old.length && head < now.length && old[head] === now[head])
		head++;
	while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail))
		tail++;
	return middle(old.slice(head, old.length - tail), now.slice(head, now.length - tail));
}
