/** Published files for a page whose user had to sign in: a link or an image cannot carry a token. */

import { api } from './api.js';
import { session } from './session.js';

/** Pictures beyond this are not fetched for a thumbnail, in bytes. */
const THUMBNAIL_MAX = 4 * 1024 * 1024;

/** Makes a link lead to the file of a creative, whoever asks. */
export function linkTo(link, creative) {
  link.href = creative.creative_url;
  link.onclick = (event) => {
    if (!session.signedIn) return;
    event.preventDefault();
    save(creative, link);
  };
}

/** Fetches a file and hands it to the browser to be saved. */
async function save(creative, link) {
  link.setAttribute('aria-busy', 'true');
  try {
    const url = URL.createObjectURL(await api.content(creative.creative_url));
    const anchor = document.createElement('a');
    anchor.href = url;
    anchor.download = creative.filename;
    anchor.click();
    // The browser reads it in its own time.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } finally {
    link.removeAttribute('aria-busy');
  }
}

/** Gives an image the picture of a creative. */
export async function showPicture(image, creative) {
  if (!session.signedIn) {
    image.src = creative.creative_url;
    return;
  }
  if (creative.size > THUMBNAIL_MAX) return;
  try {
    const url = URL.createObjectURL(await api.content(creative.creative_url));
    const done = () => URL.revokeObjectURL(url);
    image.addEventListener('load', done, { once: true });
    image.addEventListener('error', done, { once: true });
    image.src = url;
  } catch {
    image.remove();
  }
}
