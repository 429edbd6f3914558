/** Numbers, durations and days as people read them. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** `40.3 MB`: decimal units, as file managers show them. */
export function formatBytes(bytes) {
  if (bytes === 1) return '1 byte';
  let value = bytes;
  let unit = 0;
  // 999.95 would be shown as 1000.
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** `about 3 min`: rounded so that it does not flicker. */
export function formatDuration(seconds) {
  if (seconds < 5) return 'a few seconds';
  if (seconds < 55) return `${Math.ceil(seconds / 5) * 5} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `about ${Math.max(minutes, 1)} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `about ${hours} h ${minutes % 60} min`
    : `about ${Math.round(hours / 24)} days`;
}

/** `42 %`, and 100 only when nothing is left. */
export function formatPercent(part, whole) {
  if (whole === 0) return '';
  return `${Math.floor((part / whole) * 100)} %`;
}

/** The calendar day of `date` here, as `YYYY-MM-DD`. */
export function localDay(date = new Date()) {
  const two = (number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** `Tue 1 Dec 2026` for `2026-12-01`. */
export function formatDay(day) {
  const [year, month, date] = day.split('-').map(Number);
  return new Intl.DateTimeFormat('en-GB', {
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    year: 'numeric',
  }).format(new Date(year, month - 1, date));
}
