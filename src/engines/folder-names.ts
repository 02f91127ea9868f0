import path from 'node:path';
import type { Place } from './roots.ts';

/**
 * Names of what restores make in the folder above an instance's. Each is a *container*: a folder, open to nobody else, with
 * the staged or the replaced data in `data`.
 */
export const restorePrefix = '.forestay-restore-';

export function containerPrefix(ticketId: string): string {
  return `${restorePrefix}${ticketId.replaceAll('-', '').toLowerCase()}-`;
}

/** What an attempt builds in. */
export function stagingContainer(place: Place, ticketId: string, attempt: number): string {
  return path.join(place.parent, `${containerPrefix(ticketId)}a${attempt}`);
}

/** Holds the replaced data, for an undo. */
export function keptContainer(place: Place, ticketId: string): string {
  return path.join(place.parent, `${containerPrefix(ticketId)}before`);
}

/** What is to be removed; no attempt knows this name, so none can use what is in it any more. */
export function goneContainer(place: Place, ticketId: string, random: string): string {
  return path.join(place.parent, `${containerPrefix(ticketId)}gone-${random}`);
}

export const dataIn = (container: string) => path.join(container, 'data');
/** The instance's folder between two renames, where the file system cannot exchange names. */
export const asideIn = (container: string) => path.join(container, 'aside');
export const markerIn = (container: string) => path.join(container, 'marker.json');
