/** Films, sound and pictures, made by ffmpeg: long enough that a player does not load all of them. */

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { ffmpegPath } from './installed.mjs';

/** Half a minute of noise, which does not compress. */
const FILM = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=12:duration=30,noise=alls=100:allf=t'];
const SOUND = ['-f', 'lavfi', '-i', 'anoisesrc=d=30:a=0.2', '-ac', '2'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-qp', '10', '-pix_fmt', 'yuv420p', '-g', '12'];
const VP8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '3M', '-g', '12'];
const ONE_PICTURE = [...FILM, '-frames:v', '1'];

export const PLAYED = {
  // The index of an MP4 stands at its end unless somebody moves it.
  'index last.mp4': [...FILM, ...H264],
  'index first.mp4': [...FILM, ...H264, '-movflags', '+faststart'],
  'film.webm': [...FILM, ...VP8],
  'sound.mp3': [...SOUND, '-c:a', 'libmp3lame', '-b:a', '320k'],
  'sound.ogg': [...SOUND, '-c:a', 'libvorbis', '-q:a', '8'],
};

export const SHOWN = {
  'picture.png': ONE_PICTURE,
  'picture.jpg': ONE_PICTURE,
  'picture.gif': ONE_PICTURE,
  'picture.webp': ONE_PICTURE,
};

/** Makes these files in a folder. */
export async function make(folder, files) {
  for (const [name, args] of Object.entries(files)) {
    const line = ['-nostdin', '-v', 'error', ...args, path.join(folder, name)];
    await promisify(execFile)(ffmpegPath(), line);
  }
}

/** Uploads a file of the folder. Gives its creative. */
export async function publish(server, folder, name) {
  const form = new FormData();
  form.set('flowFilename', name);
  form.set('file', new Blob([await readFile(path.join(folder, name))]), name);
  const answer = await fetch(`${server.origin}/upload`, { method: 'POST', body: form });
  const { creative } = await answer.json();
  return creative;
}

/** How many requests for the content of creatives a server has answered. */
export async function contentRequests(server) {
  const text = await (await fetch(`${server.origin}/metrics`)).text();
  const counts = text.matchAll(/^\w+_count\{route="\/creatives\/\{id\}\/content",[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
