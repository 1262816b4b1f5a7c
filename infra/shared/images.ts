/** Names of the project's images. */
export const IMAGES = ['operator', 'gateway', 'notifier', 'trainer', 'engine', 'data', 'judge'] as const;
