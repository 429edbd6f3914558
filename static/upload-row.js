/** One upload in the list: its name, its bar, how it goes, and what can be done with it. */

import { linkTo } from './content.js';
import { formatBytes, formatDuration, formatPercent, localDay } from './format.js';
import { SpeedMeter } from './speed.js';

export class UploadRow {
  #upload;
  #parts;
  #meter = new SpeedMeter();
  #drawn = false;

  /** `onRemove(row)` is called when the user clears the row. */
  constructor(upload, template, { onRemove }) {
    this.#upload = upload;
    this.element = template.content.firstElementChild.cloneNode(true);
    const find = (selector) => this.element.querySelector(selector);
    const buttons = [...this.element.querySelectorAll('[data-action]')];
    this.#parts = {
      bar: find('progress'),
      status: find('.status'),
      percent: find('.percent'),
      day: find('input[type=date]'),
      actions: Object.fromEntries(buttons.map((button) => [button.dataset.action, button])),
    };

    // Names come from anywhere: as text, never as markup, and isolated from the text around them.
    find('.name').textContent = upload.path;
    find('.size').textContent = formatBytes(upload.size);
    const { bar, day, actions } = this.#parts;
    bar.setAttribute('aria-label', `Progress of ${upload.path}`);
    day.setAttribute('aria-label', `Scheduled for, ${upload.path}`);
    for (const button of buttons) {
      button.setAttribute('aria-label', `${button.textContent} ${upload.path}`);
    }

    day.min = localDay();
    day.addEventListener('change', () => day.value && upload.schedule(day.value));
    actions.pause.addEventListener('click', () => this.#act(() => upload.pause(), 'resume'));
    actions.resume.addEventListener('click', () => this.#act(() => upload.start(), 'pause'));
    actions.retry.addEventListener('click', () => this.#act(() => upload.start(), 'pause'));
    actions.cancel.addEventListener('click', () => upload.cancel());
    actions.remove.addEventListener('click', () => onRemove(this));

    // A fast upload reports hundreds of times a second; a screen shows sixty.
    upload.addEventListener('change', () => this.#drawSoon());
    this.draw();
  }

  get upload() {
    return this.#upload;
  }

  /** Bytes per second now. */
  get speed() {
    return this.#upload.state === 'uploading' ? this.#meter.perSecond() : 0;
  }

  draw() {
    const upload = this.#upload;
    const { bar, status, percent, day, actions } = this.#parts;
    const { state } = upload;
    if (state === 'uploading') this.#meter.note(upload.sent, performance.now());
    else this.#meter.reset();

    this.element.dataset.state = upload.finishing ? 'finishing' : state;
    bar.value = state === 'complete' ? 1 : upload.sent / (upload.size || 1);
    const ended = state === 'complete' || state === 'failed' || state === 'cancelled';
    percent.textContent = ended ? '' : formatPercent(upload.sent, upload.size);
    setText(status, this.#statusText());
    if (document.activeElement !== day) day.value = upload.scheduledAt;
    day.disabled = state === 'cancelling' || state === 'cancelled';

    actions.pause.hidden = !upload.running;
    actions.resume.hidden = state !== 'paused';
    actions.retry.hidden = state !== 'failed' && state !== 'cancelled';
    // After a failure there is something to cancel only if the server has taken something.
    const cancellable = upload.running || state === 'paused' || (state === 'failed' && upload.id);
    actions.cancel.hidden = !cancellable;
    actions.remove.hidden = !ended;
    actions.open.hidden = !upload.creative;
    if (upload.creative) linkTo(actions.open, upload.creative);
  }

  #drawSoon() {
    if (this.#drawn) return;
    this.#drawn = true;
    const draw = () => {
      this.#drawn = false;
      this.draw();
    };
    // A hidden page gets no frames, and its title and list must still be right.
    if (document.hidden) setTimeout(draw);
    else requestAnimationFrame(draw);
  }

  /** Acts, and keeps the focus on the button that takes this one's place. */
  #act(action, successor) {
    action();
    this.draw();
    this.#parts.actions[successor].focus();
  }

  #statusText() {
    const upload = this.#upload;
    const problem = upload.error?.message ?? '';
    if (upload.finishing) return 'Finishing…';
    switch (upload.state) {
      case 'queued':
        return 'Waiting for its turn';
      case 'checking':
        return 'Asking the server what it has';
      case 'uploading':
        return this.#speedText();
      case 'waiting':
        return `${problem} ${waitText(upload.retryAt)}`.trim();
      case 'paused':
        return `Paused at ${formatBytes(upload.sent)}`;
      case 'complete':
        return problem ? `Complete. The date could not be changed: ${problem}` : 'Complete';
      case 'failed':
        return problem;
      case 'cancelling':
        return 'Cancelling…';
      default:
        return problem ? `Cancelled here, but not on the server: ${problem}` : 'Cancelled';
    }
  }

  #speedText() {
    const speed = this.#meter.perSecond();
    if (!speed) return 'Uploading';
    const left = (this.#upload.size - this.#upload.sent) / speed;
    return `${formatBytes(speed)}/s · ${formatDuration(left)} left`;
  }
}

function waitText(retryAt) {
  if (navigator.onLine === false) return 'Going on when you are online again.';
  const seconds = Math.max(Math.ceil((retryAt - Date.now()) / 1000), 1);
  return `Trying again in ${seconds} s.`;
}

function setText(element, text) {
  // Unchanged text is not touched, so that a selection in it survives.
  if (element.textContent !== text) element.textContent = text;
}
