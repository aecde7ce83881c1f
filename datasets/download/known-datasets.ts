// Public datasets that can be downloaded, apart from CIFAR-10: their files, as published by their authors.

export interface KnownDataset {
  title: string;
  /** URL of the folder with the files. */
  url: string;
  files: readonly { name: string; bytes: number; md5: string }[];
  /** Whether the only file is an archive to unpack. */
  isArchive: boolean;
  trainingImages: number;
  testImages: number;
}

export const knownDatasets = {
  cifar100: {
    title: 'CIFAR-100',
    url: 'https://www.cs.toronto.edu/~kriz/',
    files: [{ name: 'cifar-100-binary.tar.gz', bytes: 168_513_733, md5: '03b5dce01913d631647c71ecec9e9cb8' }],
    isArchive: true,
    trainingImages: 50_000,
    testImages: 10_000,
  },
  // The original site no longer serves the files. PyTorch hosts this copy.
  mnist: {
    title: 'MNIST',
    url: 'https://ossci-datasets.s3.amazonaws.com/mnist/',
    files: [
      { name: 'train-images-idx3-ubyte.gz', bytes: 9_912_422, md5: 'f68b3c2dcbeaaa9fbdd348bbdeb94873' },
      { name: 'train-labels-idx1-ubyte.gz', bytes: 28_881, md5: 'd53e105ee54ea40749a09fcbcd1e9432' },
      { name: 't10k-images-idx3-ubyte.gz', bytes: 1_648_877, md5: '9fb629c4189551a2d022fa330f9573f3' },
      { name: 't10k-labels-idx1-ubyte.gz', bytes: 4_542, md5: 'ec29112dd5afa0611ce80d1b7f02629c' },
    ],
    isArchive: false,
    trainingImages: 60_000,
    testImages: 10_000,
  },
  // The authors' server has no TLS; the MD5s are those in their README.
  'fashion-mnist': {
    title: 'Fashion-MNIST',
    url: 'http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',
    files: [
      { name: 'train-images-idx3-ubyte.gz', bytes: 26_421_880, md5: '8d4fb7e6c68d591d4c3dfef9ec88bf0d' },
      { name: 'train-labels-idx1-ubyte.gz', bytes: 29_515, md5: '25c81989df183df01b3e8a0aad5dffbe' },
      { name: 't10k-images-idx3-ubyte.gz', bytes: 4_422_102, md5: 'bef4ecab320f06d8554ea6380940ec79' },
      { name: 't10k-labels-idx1-ubyte.gz', bytes: 5_148, md5: 'bb300cfdad3c16e7a12a480ee83cd310' },
    ],
    isArchive: false,
    trainingImages: 60_000,
    testImages: 10_000,
  },
} as const satisfies Record<string, KnownDataset>;
export type KnownDatasetName = keyof typeof knownDatasets;
