/** Files as the user gives them: chosen, or dropped, folders included. */

/** The files of an input, each with its path inside the chosen folder. */
export function chosenFiles(input) {
  return Array.from(input.files, (file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** Whether a drag carries files at all (and not, say, a piece of text). */
export function carriesFiles(event) {
  return Array.from(event.dataTransfer?.types ?? []).includes('Files');
}

/** The files of a drop. The browser forgets the entries after the event, so they are taken first. */
export async function droppedFiles(dataTransfer) {
  const entries = Array.from(dataTransfer.items ?? [], (item) => item.webkitGetAsEntry?.());
  if (!entries.some(Boolean)) {
    return Array.from(dataTransfer.files, (file) => ({ file, path: file.name }));
  }
  const found = [];
  for (const entry of entries) if (entry) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, '') });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A folder is read in batches; an empty one means that there are no more.
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await walk(child, found);
  }
}
