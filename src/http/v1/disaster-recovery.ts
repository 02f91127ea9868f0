import { type Static, Type } from 'typebox';

export const PrepareRequest = Type.Object({
  encryption_key: Type.Optional(
    Type.String({
      description: 'Sets the key of backups from now on. It is never answered: keep it in a safe place.',
    }),
  ),
});
export type PrepareRequest = Static<typeof PrepareRequest>;

export const PreparedBody = Type.Object(
  {
    backup_guid: Type.String({
      description: 'The GUID under which the backups of the instance lie in the stores.',
    }),
  },
  { $id: 'Prepared' },
);
export type PreparedBody = Static<typeof PreparedBody>;

export const PerformRequest = Type.Object({
  backup_guid: Type.String({
    minLength: 1,
    description:
      'The `backup_guid` of the originating instance: its newest backup. Or a `backup_id`: exactly that backup.',
  }),
  encryption_key: Type.String({ minLength: 1, description: 'The key that the backup was made with.' }),
});
export type PerformRequest = Static<typeof PerformRequest>;

export const PerformedBody = Type.Object(
  {
    restore_id: Type.Integer({ description: 'The internal ID of the restore in the destination instance.' }),
  },
  { $id: 'Performed' },
);
export type PerformedBody = Static<typeof PerformedBody>;
