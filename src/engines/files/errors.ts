import { type Meaning, translatorOf } from '../../pipeline/foreign-errors.ts';
import { folderCodes, folderTexts } from '../folder-errors.ts';

export const changing: Meaning = {
  code: 'InstanceBusy',
  hint: 'Nothing may write to the folder while it is backed up: pause what does, back up a snapshot, or set changes to report.',
};

/** Texts of GNU tar and find. Whether something failed never depends on them. */
const texts: readonly (readonly [RegExp, Meaning])[] = [
  ...folderTexts,
  [
    /file changed as we read it|File removed before we read it|File shrank by|No such file or directory/,
    changing,
  ],
];

/** Foreign errors (of the file system, of tar and find) in the words of the catalogue. */
export const translateError = translatorOf(folderCodes, texts);
