/** Labels by which several rooms know the pods they make. */
export const MANAGED_BY = 'app.kubernetes.io/managed-by';
export const OPERATOR = 'vicuna-operator';
/** The GpuPool that a pod was placed in. */
export const POOL_LABEL = 'vicuna.run/pool';
export const TRAINING_LABEL = 'vicuna.run/training';
export const SERVING_LABEL = 'vicuna.run/serving';
