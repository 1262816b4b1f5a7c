/** Labels by which several rooms know the pods they make. */
export const MANAGED_BY = 'app.kubernetes.io/managed-by';
export const OPERATOR = 'vicuna-operator';
/** The GpuPool that a pod was placed in. */
export const POOL_LABEL = 'vicuna.run/pool';
export const TRAINING_LABEL = 'vicuna.run/training';
export const SERVING_LABEL = 'vicuna.run/serving';
export const DATASET_LABEL = 'vicuna.run/dataset';
export const EVALUATION_LABEL = 'vicuna.run/evaluation';
/** On the pod that makes a training's release; the training's workers do not have it. */
export const RELEASE_LABEL = 'vicuna.run/release';
/** Set in the caches only: the remote cluster that an object is in; absent = the operator's own. */
export const CLUSTER_LABEL = 'vicuna.run/cluster';
/** On what is made in a remote cluster, where no owner reference can point home: uid of the owner, and of the cluster it is in. */
export const OWNER_UID_LABEL = 'vicuna.run/owner-uid';
export const HOME_LABEL = 'vicuna.run/home';
